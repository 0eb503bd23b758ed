"""Disagreement: how many other explanations end elsewhere than the chain does.

Evidence: ours [D]. It is `elad`'s inter-explanation uncertainty (`answers`) from the beginning of the chain alone.
Active-Prompt (Diao et al., 2023) calls the number of different answers by this name: another formula.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ConfigDict

from elad.protocols import Student, Task
from elad.records import Chain, Problem, StepScores
from elad.uncertainty.answers import check, draw

__all__ = ["Disagreement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """1 - the share of `samples` explanations that end in the chain's answer; 1 where it has none."""

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
        return [answers.scores(1 - answers.agreeing) for answers in drawn]
