"""Two-sided: questions that the student is unsure of, and that the teacher can be relied on to settle.

Evidence: that a teacher is no oracle, and that a question is worth its uncertainty times the chance of a usable answer,
is proactive learning's (Donmez and Carbonell, 2008; from memory) [R]; that the chance is the share kept among the
nearest questions bought so far, by Laplace's rule, is ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from random import Random

from pydantic import ConfigDict

from elad.records import Candidate, Past
from elad.selection.encoder import Encoder
from elad.selection.geometry import Vector, directions, embedding, squares
from elad.selection.pool import at_least, by_lot, first, weighted

__all__ = ["TwoSided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSided:
    """Ids with the highest score times reliability first; with nothing bought so far, those that `top` picks.

    Reliability is the share of revisions that could be kept, a chain that needed no repair among them, of the nearest
    questions bought so far: (kept + 1) / (near + 2).
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    encoder: Encoder | None = None
    """Who says which questions are near one another; None: those are whose lengths in characters are."""
    neighbours: int = 10
    """So many of them are near. Until more are bought, all questions are as reliable as one another."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        at_least(1, neighbours=self.neighbours)

    @property
    def needs_scores(self) -> bool:
        """True: they are the student's side."""
        return True

    def having(self, past: Sequence[Past]) -> "_Taught":
        """The same, knowing what was bought before."""
        return _Taught(settings=self, past=past)

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids as without a past; the order of the candidates does not matter.

        Ties go to the higher score, then to the lower answer confidence, then to the order by lot. Edge cases: an
        allowance below 1 picks none. Raises: ValueError for scores that are missing, not finite or below 0, and with an
        encoder for embeddings that are missing, not finite or not of one length.
        """
        return self.having(())(candidates, allowance, rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taught:
    settings: TwoSided
    past: Sequence[Past]

    @property
    def needs_scores(self) -> bool:
        return True

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        seen = by_lot(candidates, rng, lambda one: (weighted(one, "two_sided"), self._place(one)))
        places = [place for _, place in seen.values()] + [self._place(past) for past in self.past]
        points = directions(places) if self.settings.encoder else places
        bought = points[len(seen) :]
        ranks = {
            key: (ranked[0] * self._reliability(point, bought), *ranked)
            for (key, (ranked, _)), point in zip(seen.items(), points, strict=False)
        }
        return first(sorted(ranks, key=lambda key: ranks[key]), allowance)

    def _place(self, one: Candidate | Past) -> Vector:
        return embedding(one, "two_sided") if self.settings.encoder else (float(len(one.problem.question)),)

    def _reliability(self, here: Vector, bought: Sequence[Vector]) -> float:
        apart = squares(here, bought)
        near = nsmallest(self.settings.neighbours, range(len(apart)), key=apart.__getitem__)
        return (sum(self.past[place].outcome.trainable for place in near) + 1) / (len(near) + 2)
