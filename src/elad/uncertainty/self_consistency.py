"""Self-consistency: how few of the student's other explanations go with their majority.

Evidence: that the share of samples in the majority goes with being right is from self-consistency (Wang et al., 2023,
arXiv 2203.11171; from memory) [R]. It is the classical least confidence, 1 - p(likeliest), with frequencies for
probabilities. The chain's own answer plays no part: see `disagreement`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ConfigDict

from elad.protocols import Student, Task
from elad.records import Chain, Problem, StepScores
from elad.uncertainty.answers import check, draw

__all__ = ["SelfConsistency"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfConsistency:
    """1 - the share of the commonest answer that can be read; 1 where none can."""

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
        return [answers.scores(1 - max(answers.readable, default=0.0)) for answers in drawn]
