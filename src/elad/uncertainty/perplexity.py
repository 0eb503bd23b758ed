"""Perplexity: how improbable the student finds what it wrote itself, token by token.

Evidence: the perplexity of the model's own text, which is the exponential of its mean token NLL, is a common baseline;
as a score of steps, and as 1 - 1 / perplexity, which keeps the order and lies in 0..1, it is ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isnan

from elad.protocols import Student, Task
from elad.records import Chain, Problem, StepScores
from elad.uncertainty.tokens import by_tokens

__all__ = ["Perplexity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Perplexity:
    """1 - the geometric mean of the tokens' probabilities: of a step's per step, of all of them per question.

    Only the steps up to and including the conclusion are scored; the others carry 0. Nothing is drawn.
    """

    def __call__(
        self, drafts: Sequence[tuple[Problem, Chain]], student: Student, task: Task, seed: int
    ) -> list[StepScores]:
        """Scores in the drafts' order; confidence is the mean probability itself.

        Edge cases: a chain without steps, one that does not fit the context, and one whose log-probabilities are no
        numbers are wholly uncertain.
        """
        return by_tokens("perplexity", drafts, task, student.score, _improbable)


def _improbable(logs: Sequence[float]) -> float:
    """1 - the geometric mean of probabilities; 1 where there are none, or they are no numbers."""
    total = sum(logs)
    return 1.0 if not logs or isnan(total) else 1 - exp(min(total / len(logs), 0.0))
