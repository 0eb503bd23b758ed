"""Core-set: questions such that none of the pool is far from all of them.

Evidence: the greedy algorithm for k-center on a network's hidden states, begun with what is labelled already, is the
core-set approach (Sener and Savarese, 2018, arXiv 1708.00489; from memory) [R]. That the first question of all is drawn
by lot is ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

from pydantic import ConfigDict

from elad.records import Candidate, Past
from elad.selection.encoder import Encoder
from elad.selection.geometry import directions, embedding, squares
from elad.selection.pool import by_lot

__all__ = ["CoreSet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSet:
    """Ids of questions that lie apart: each next one is the farthest from those picked so far, in all rounds."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    encoder: Encoder = field(default_factory=Encoder)

    @property
    def needs_scores(self) -> bool:
        """False: only where questions lie counts."""
        return False

    def having(self, past: Sequence[Past]) -> "_Taught":
        """The same, knowing what was bought before."""
        return _Taught(past=past)

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, in the order in which they were found; the order of the candidates does not matter.

        Edge cases: an allowance below 1 picks none. Questions that lie on one another fall to the order by lot, and
        so does a pool in which all do. Raises: ValueError for embeddings that are missing, not finite or not of one
        length.
        """
        return self.having(())(candidates, allowance, rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taught:
    past: Sequence[Past]

    @property
    def needs_scores(self) -> bool:
        return False

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        seen = by_lot(candidates, rng, lambda candidate: embedding(candidate, "core_set"))
        ids, bought = list(seen), [embedding(past, "core_set") for past in self.past]
        points = directions([*seen.values(), *bought])
        taken = points[len(ids) :]
        apart: dict[int, float] = {place: min(squares(points[place], taken), default=inf) for place in range(len(ids))}
        picks: list[str] = []
        while apart and len(picks) < allowance:
            place = max(apart, key=apart.__getitem__)
            del apart[place]
            picks.append(ids[place])
            near = squares(points[place], map(points.__getitem__, apart))
            apart = {other: min(far, now) for (other, far), now in zip(apart.items(), near, strict=True)}
        return picks
