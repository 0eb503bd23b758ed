"""Margin: how little the commonest answer of other explanations is ahead of the second.

Evidence: margin sampling compares the two likeliest labels of a classifier (Scheffer et al., 2001; from memory) [R].
Taking the frequencies of k sampled answers for probabilities is as in Active-Prompt's entropy; the rest is ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ConfigDict

from elad.protocols import Student, Task
from elad.records import Chain, Problem, StepScores
from elad.uncertainty.answers import check, draw

__all__ = ["Margin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """1 - the share of the commonest answer + that of the next one, over `samples` explanations."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    samples: int = 10
    """k: explanations that are drawn of each question, at least 2."""
    temperature: float = 0.7

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        check(self.samples, self.temperature)

    def __call__(
        self, drafts: Sequence[tuple[Problem, Chain]], student: Student, task: Task, seed: int
    ) -> list[StepScores]:
        """Scores in the drafts' order; what is drawn depends on `seed` and the problem's id alone."""
        drawn = draw(drafts, student, task, seed, samples=self.samples, temperature=self.temperature)
        return [answers.scores(1 - _lead(answers.shares)) for answers in drawn]


def _lead(shares: Sequence[float]) -> float:
    """How far the largest share is ahead; all of it where there is no other."""
    first, *others = sorted(shares, reverse=True)
    return first - max(others, default=0.0)
