"""Cost-aware: the most uncertainty for the money.

Evidence: dividing the gain of a label by what it costs is common in active learning with costs that differ
(Settles, Craven and Friedland, 2008; from memory) [R]. What stands for the price here, and the straight line through
the bills, are ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from random import Random
from statistics import linear_regression

from pydantic import ConfigDict

from elad.errors import require
from elad.records import Candidate, Past, Problem
from elad.selection.pool import at_least, by_lot, first, paid, weighted

__all__ = ["CostAware"]

_ENOUGH = 10
"""Bills that a line is put through."""
_ALL_ALIKE = 1e9
"""So many characters that the others make no difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAware:
    """Ids with the highest score per expected price first.

    The price is what the teacher reads and writes, in characters of input: its instructions, the question and the
    student's chain, and a reply that is as long as the chain. Prices differ between questions by their lengths only,
    so that characters do as well as tokens, and no price need be known. Once ten questions are bought, their bills tell
    what `instructions` comes to, whatever teacher and reviser take: the part of a bill that is the same for each
    question, by the least squares of bills against lengths. Where longer ones were not dearer, the score alone counts.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    instructions: int = 1000
    """Characters that are the same for each question: the fewer, the more short ones are favoured. A first guess, of
    one prompt, until bills tell."""
    output: float = 4.0
    """How many times as much a character of the reply costs. A guess that bills do not correct."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        at_least(1, instructions=self.instructions)
        require(isfinite(self.output) and self.output >= 0, "selector.output", "at least 0", self.output)

    @property
    def needs_scores(self) -> bool:
        """True: they are what is bought."""
        return True

    def having(self, past: Sequence[Past]) -> "CostAware":
        """The same, knowing what was paid before."""
        bills = [(self._variable(one.problem, one.chain), price) for one, price in zip(past, paid(past), strict=True)]
        sizes, prices = [size for size, price in bills if price], [price for _, price in bills if price]
        if len(sizes) < _ENOUGH or len(set(sizes)) == 1:
            return self
        line = linear_regression(sizes, prices)
        same = line.intercept / line.slope if line.slope > 0 else _ALL_ALIKE
        return replace(self, instructions=round(min(max(same, 1.0), _ALL_ALIKE)))

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
        return self.instructions + self._variable(candidate.problem, candidate.chain.text)

    def _variable(self, problem: Problem, chain: str) -> float:
        """The part that differs between questions."""
        asked = len(problem.question) + len(problem.context or "") + sum(map(len, problem.choices or ()))
        return asked + (1 + self.output) * len(chain)
