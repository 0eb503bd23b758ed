"""Variance: how far apart the numbers are that other explanations end in. For numeric tasks alone.

Evidence: the variance of k sampled answers, with k - 1 below, each answer divided by the sum of the numbers in the
question, is a score of Active-Prompt (Diao et al., 2023, arXiv 2302.12246, section 2.1) [S]; the code that was released
with it (shizhediao/active-prompt) takes the population variance, and divides by nothing. v / (1 + v), which keeps the
order and lies in 0..1, and how answers that cannot be read count, are ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import variance

from pydantic import ConfigDict

from elad.errors import ConfigError
from elad.protocols import Student, Task
from elad.records import Chain, Problem, StepScores
from elad.tasks import quantities
from elad.tasks.numeric import Numeric
from elad.uncertainty.answers import Answers, check, draw

__all__ = ["Variance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variance:
    """v / (1 + v), v the variance of the answers of `samples` explanations in units of the question's numbers.

    An answer that cannot be read is as far off as can be: with a share u of them it is u + (1 - u) * v / (1 + v).
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    samples: int = 10
    """k: explanations that are drawn of each question, at least 2."""
    temperature: float = 0.7

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        check(self.samples, self.temperature)

    def suits(self, task: Task) -> None:
        """Raises: ConfigError where answers are no numbers."""
        if not isinstance(task, Numeric):
            told = "`variance` needs answers that are numbers (task.kind: numeric); did you mean 'entropy'?"
            raise ConfigError(f"uncertainty.kind: {told}")

    def __call__(
        self, drafts: Sequence[tuple[Problem, Chain]], student: Student, task: Task, seed: int
    ) -> list[StepScores]:
        """Scores in the drafts' order; what is drawn depends on `seed` and the problem's id alone.

        Raises: ConfigError for a task that is not `numeric`.
        """
        self.suits(task)
        drawn = draw(drafts, student, task, seed, samples=self.samples, temperature=self.temperature)
        return [answers.scores(_spread(answers, problem)) for (problem, _), answers in zip(drafts, drawn, strict=True)]


def _spread(answers: Answers, problem: Problem) -> float:
    said = [value for value, _, _ in quantities.every(quantities.tidy(problem.question))]
    scale = sum(map(abs, said)) or Fraction(1)
    read = [quantities.number(answer) for answer in answers.drawn if answer is not None]
    values = [value / scale for value in read if value is not None]
    apart = variance(values) if len(values) > 1 else Fraction(0)
    unread = 1 - Fraction(len(values), len(answers.drawn))
    return float(unread + (1 - unread) * apart / (1 + apart))
