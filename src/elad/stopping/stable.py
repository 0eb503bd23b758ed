"""Stable: stop where the students of consecutive rounds answer the held-out questions alike.

Evidence: the mean of Cohen's kappa between consecutive models over a window of three, stopping at 0.99, is Bloodgood
and Vijay-Shanker 2009 (arXiv 1409.5165), general literature [S], for classifiers and a large set without labels. The
held-out set as that set, and unread answers that agree with nothing, are ours [D].
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from pydantic import ConfigDict

from elad.courses import Course, Ruling
from elad.errors import require

__all__ = ["Stable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stable:
    """Stops where the mean kappa of the last pairs of rounds is at least `agreement`; what is right is not looked at.

    Answers are compared as the task writes them down. Students that are trained anew each round differ by chance too:
    0.99 may never be reached, and a kappa says nothing of money.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    agreement: float = 0.99
    window: int = 3
    """Pairs of consecutive rounds; it never stops before so many rounds."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(0 < self.agreement <= 1, "stopping.agreement", "above 0 and at most 1", self.agreement)
        require(self.window >= 1, "stopping.window", "at least 1", self.window)

    @property
    def needs_scores(self) -> bool:
        """It looks at answers alone."""
        return False

    def __call__(self, course: Course) -> Ruling:
        if len(course.rounds) <= self.window:
            return Ruling(stop=False, why=f"{self.window} rounds come first")
        last = [one.answers for one in course.rounds[-self.window - 1 :]]
        mean = fmean(kappa(one, other) for one, other in pairwise(last))
        told = f"the answers of the last {self.window + 1} students agree by a kappa of {mean:.3f}"
        return Ruling(stop=mean >= self.agreement, why=f"{told}; {self.agreement:g} is asked for")


def kappa(one: Sequence[str | None], other: Sequence[str | None]) -> float:
    """Cohen's kappa of two students' answers to the same questions; None, which could not be read, agrees with nothing.

    Range: 1 where all agree, 0 for as many as by chance, down to -1. Edge cases: 0 where chance alone makes all agree,
    or nothing was asked.

    >>> kappa(["A", "B", "A", "B"], ["A", "B", "B", "B"])
    0.5
    """
    asked = len(one)
    agreed = sum(a == b is not None for a, b in zip(one, other, strict=True)) / max(1, asked)
    counts, others = Counter(one), Counter(other)
    chance = sum(counts[answer] * others[answer] for answer in counts if answer is not None) / max(1, asked**2)
    return (agreed - chance) / (1 - chance) if chance < 1 else 0.0
