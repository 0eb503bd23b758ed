"""Cost-aware: the most uncertainty for the money.

Evidence: dividing the gain of a label by what it costs is common in active learning with costs that differ
(Settles, Craven and Friedland, 2008; from memory) [R]. What stands for the price here is ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from random import Random

from pydantic import ConfigDict

from elad.errors import require
from elad.records import Candidate
from elad.selection.pool import at_least, by_lot, first, weighted

__all__ = ["CostAware"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAware:
    """Ids with the highest score per expected price first.

    The price is what the teacher reads and writes, in characters of input: its instructions, the question and the
    student's chain, and a reply that is as long as the chain. Prices differ between questions by their lengths only,
    so that characters do as well as tokens, and no price need be known.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    instructions: int = 1000
    """Characters of the prompt that are the same for each question: the fewer, the more short ones are favoured."""
    output: float = 4.0
    """How many times as much a character of the reply costs."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        at_least(1, instructions=self.instructions)
        require(isfinite(self.output) and self.output >= 0, "selector.output", "at least 0", self.output)

    @property
    def needs_scores(self) -> bool:
        """True: they are what is bought."""
        return True

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, the best bargain first; the order of the candidates does not matter.

        Ties go to the higher score, then to the lower answer confidence, then to the order by lot. Edge cases: an
        allowance below 1 picks none. Raises: ValueError for scores that are missing, not finite or below 0.
        """
        seen = by_lot(candidates, rng, self._look)
        return first(sorted(seen, key=lambda key: seen[key]), allowance)

    def _look(self, candidate: Candidate) -> tuple[float, float, float]:
        ranked = weighted(candidate, "cost_aware")
        return ranked[0] / self._price(candidate), *ranked

    def _price(self, candidate: Candidate) -> float:
        problem = candidate.problem
        asked = len(problem.question) + len(problem.context or "") + sum(map(len, problem.choices or ()))
        return self.instructions + asked + (1 + self.output) * len(candidate.chain.text)
