"""Least confidence: how improbable the student finds its answer once it has explained itself.

Evidence: 1 - the probability of the likeliest output is the classical least confidence (Lewis and Gale, 1994; for
sequences Culotta and McCallum, 2005; from memory) [R]. That the output is the answer alone, after the student's own
explanation and the words that make it conclude, is ours [D]. With frequencies of sampled answers for probabilities it
is `self_consistency`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isnan

from elad.protocols import Student, Task
from elad.records import Chain, Problem, StepScores
from elad.tasks.chains import body
from elad.uncertainty.probes import Probe

__all__ = ["LeastConfidence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastConfidence:
    """1 - the probability of the chain's answer, written as the task writes it, after the chain's own steps.

    The cheapest score: nothing is drawn, and what a few tokens are given costs one pass over the chain.
    """

    def __call__(
        self, drafts: Sequence[tuple[Problem, Chain]], student: Student, task: Task, seed: int
    ) -> list[StepScores]:
        """Scores in the drafts' order; confidence is the probability itself.

        Edge cases: a chain without an answer, one that does not fit the context, and one whose log-probabilities are
        no numbers are wholly uncertain.
        """
        pairs = [
            (
                Probe(problem=problem, said=chain.prefix(body(chain)), seed=seed).prompt(task),
                task.conclusion(problem, chain.answer).removeprefix(task.cue),
            )
            for problem, chain in drafts
            if chain.answer is not None
        ]
        logs = iter(student.score(pairs) if pairs else [])
        return [_scores(() if chain.answer is None else next(logs)) for _, chain in drafts]


def _scores(logs: Sequence[float]) -> StepScores:
    total = sum(logs)
    probability = 0.0 if not logs or isnan(total) else exp(min(total, 0.0))
    return StepScores(parts={}, steps=(), aggregate=1 - probability, confidence=probability)
