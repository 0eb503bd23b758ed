"""Answer entropy: how evenly the answers of other explanations are spread.

Evidence: entropy over the frequencies of k sampled answers is a score of Active-Prompt (Diao et al., 2023,
arXiv 2302.12246) [S]. Divided by its largest value, so that it lies in 0..1; answers that cannot be read count as
all different [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from pydantic import ConfigDict

from elad.protocols import Student, Task
from elad.records import Chain, Problem, StepScores
from elad.uncertainty.answers import check, draw

__all__ = ["Entropy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entropy:
    """Entropy of the answers of `samples` explanations, divided by that of answers that all differ."""

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
        return [answers.scores(_entropy(answers.shares) / log(self.samples)) for answers in drawn]


def _entropy(shares: Sequence[float]) -> float:
    """In nats."""
    return -sum(share * log(share) for share in shares)
