"""Part: the questions that one part of the score finds the most uncertain.

Evidence: ours [D], so that the parts of a score (`intra` and `inter` of `elad`) can be held against one another where
they are computed anyway, as arms of `bandit`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean

from pydantic import ConfigDict

from elad.errors import ConfigError, nearest
from elad.records import Candidate
from elad.selection.pool import by_lot, first, rank

__all__ = ["Part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Ids with the highest mean of one part over the steps first; a chain without steps counts by its aggregate."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    """As the score calls it: `intra`, `inter`, ..."""

    @property
    def needs_scores(self) -> bool:
        """True: it ranks by a part of them."""
        return True

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, most uncertain first; the order of the candidates does not matter.

        Ties go to the lower answer confidence, then to the order by lot. Edge cases: an allowance below 1 picks none.
        Raises: ConfigError where the score has no such part, ValueError for scores that are missing or not finite.
        """
        seen = by_lot(candidates, rng, self._look)
        return first(sorted(seen, key=lambda key: seen[key]), allowance)

    def _look(self, candidate: Candidate) -> tuple[float, float]:
        scores = candidate.scores
        if scores is None or not candidate.chain.steps:
            return rank(candidate, "part")
        if self.name not in scores.parts:
            raise ConfigError(f"selector.name: the score has no part {self.name!r}; {nearest(self.name, scores.parts)}")
        return rank(replace(candidate, scores=replace(scores, aggregate=fmean(scores.parts[self.name]))), "part")
