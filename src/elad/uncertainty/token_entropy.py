"""Mean token entropy: how undecided the student is before each token of what it wrote.

Evidence: the mean entropy of the distributions that the tokens were drawn from is a common baseline for the uncertainty
of generated text (Malinin and Gales, 2021; Fomicheva et al., 2020; from memory) [R]; as a score of steps, and divided
by the logarithm of the vocabulary's size so that it lies in 0..1, it is ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean

from elad.abilities import Entropies
from elad.errors import ConfigError
from elad.protocols import Student, Task
from elad.records import Chain, Problem, StepScores
from elad.uncertainty.tokens import by_tokens

__all__ = ["TokenEntropy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEntropy:
    """The mean of the tokens' entropies, 1 that of the uniform distribution: of a step per step, of all per question.

    Unlike `perplexity`, it does not ask which token was drawn. Only the steps up to and including the conclusion are
    scored; the others carry 0. Nothing is drawn. Values are small: a vocabulary is large, and few tokens compete.
    """

    def __call__(
        self, drafts: Sequence[tuple[Problem, Chain]], student: Student, task: Task, seed: int
    ) -> list[StepScores]:
        """Scores in the drafts' order; confidence is 1 - the score.

        Edge cases: a chain without steps, one that does not fit the context, and one whose entropies are no numbers
        are wholly uncertain. Raises: ConfigError where the student's engine gives no entropies.
        """
        if not isinstance(student, Entropies):
            told = f"`token_entropy` needs whole distributions, and {student.id} gives none"
            raise ConfigError(f"uncertainty.kind: {told}; take `student.engine: transformers`, or `perplexity`")
        return by_tokens("token_entropy", drafts, task, student.entropies, _undecided)


def _undecided(entropies: Sequence[float]) -> float:
    """The mean; 1 where there are none, or they are no numbers."""
    mean = fmean(entropies) if entropies else 1.0
    return 1.0 if isnan(mean) else mean
