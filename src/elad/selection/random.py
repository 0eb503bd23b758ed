"""Picks drawn by lot: the honest control beside every other selector.

Evidence: the passive learner that every study of active learning compares with; nothing of it is ours [R].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random as Rng

from elad.records import Candidate

__all__ = ["Random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Random:
    """Ids drawn without replacement, each set of them as likely as any other."""

    @property
    def needs_scores(self) -> bool:
        """False: nothing is looked at but the ids."""
        return False

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Rng) -> list[str]:
        """Ids by lot. The order of the candidates does not matter; an allowance below 1 picks none."""
        ids = sorted({candidate.problem.id for candidate in candidates})
        return rng.sample(ids, min(max(allowance, 0), len(ids)))
