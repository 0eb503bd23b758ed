"""Intra-explanation uncertainty: does including the step change the conclusion?

Evidence: comparing the answer before a step with the answer once it is included is told of ELAD by two
independent summaries [2]. That it is a plain 0/1 on greedy answers after a forced cue is reconstructed
[R]. `soft`, `leave_one_out` and `settled` are ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from elad.protocols import Student, Task
from elad.records import Chain, Problem, Sampling, derive_seed
from elad.tasks.chains import body
from elad.uncertainty.beliefs import Belief, Draft, Measured, brief, certain, distance, likeliest, scored, unified
from elad.uncertainty.probes import Probe, conclude


@dataclass(frozen=True, slots=True, kw_only=True)
class Intra:
    """Per step, how much the conclusion depends on it.

    p_i is the belief of a student that is made to conclude after r_1..r_i, and a_i the likeliest
    answer in it. r_n is the conclusion of the chain, or its last step if it has none. It is not
    probed: it states a belief and gives no reason for one. Where the chain's answer is a_{n-1},
    p_n is p_{n-1}, and r_n changed nothing; otherwise p_n is all on the chain's answer [D].
    `leave_one_out` compares the belief without r_i with that p_n.
    A conclusion that cannot be read is one class of its own. A chain without an answer agrees with
    nothing: what is compared with its own answer counts as changed.
    """

    kind: Literal["prefix", "leave_one_out"]
    soft: bool
    settled: bool
    samples: int
    """Short samples for the belief in a free answer; used with `soft`."""
    sampling: Sampling
    per_token: bool = False
    """Options are weighed by the mean of their tokens' log-probabilities, not the sum."""

    def __call__(self, drafts: Sequence[Draft], student: Student, task: Task, seed: int) -> list[Measured]:
        """One measure per draft, from one batch of probes over all of them."""
        probes = [
            Probe(problem=problem, said=said, seed=derive_seed(seed, problem.id, "intra", place), guess=chain.answer)
            for problem, chain in drafts
            for place, said in enumerate(self._texts(chain))
        ]
        samples = self.samples if self.soft else 1
        beliefs = conclude(
            probes, student, task, sampling=self.sampling, samples=samples, per_token=self.per_token
        )  # fmt: skip
        measured: list[Measured] = []
        start = 0
        for problem, chain in drafts:
            end = start + scored(chain)
            measured.append(self._measure(problem, chain, beliefs[start:end], task))
            start = end
        return measured

    def _texts(self, chain: Chain) -> list[str]:
        count = scored(chain)
        if self.kind == "prefix":
            return [chain.prefix(place) for place in range(count)]
        end = len(chain.prefix(body(chain)))
        return [chain.text[: step.start] + chain.text[step.end : end] for step in chain.steps[:count]]

    def _measure(self, problem: Problem, chain: Chain, raw: Sequence[Belief], task: Task) -> Measured:
        beliefs = unified(raw, chain.answer, lambda one, other: task.same(one, other, problem))
        values = self._changes(beliefs, chain) if self.kind == "prefix" else self._absences(beliefs, chain)
        # The last probe is the conclusion just before the last scored step, in both kinds.
        confidence = 0.0 if chain.answer is None else beliefs[-1].get(chain.answer, 0.0)
        return Measured(values=values, confidence=min(confidence, 1.0), detail=_detail(self, beliefs, chain))

    def _changes(self, beliefs: Sequence[Belief], chain: Chain) -> tuple[float, ...]:
        path = [*beliefs, _final(beliefs, chain)]
        values = [self._apart(before, after) for before, after in pairwise(path)]
        if chain.answer is None:
            values[-1] = 1.0
        elif self.settled:
            reached = [likeliest(belief) for belief in path].index(chain.answer)
            values[:reached] = [0.0] * reached
        return tuple(values)

    def _absences(self, beliefs: Sequence[Belief], chain: Chain) -> tuple[float, ...]:
        if chain.answer is None:
            return (1.0,) * len(beliefs)
        final = _final(beliefs, chain)
        return tuple(self._apart(belief, final) for belief in beliefs)

    def _apart(self, before: Belief, after: Belief) -> float:
        if self.soft:
            return distance(before, after)
        return float(likeliest(before) != likeliest(after))


def _final(beliefs: Sequence[Belief], chain: Chain) -> Belief:
    """p_n: what the chain's conclusion makes of the belief just before it."""
    return beliefs[-1] if likeliest(beliefs[-1]) == chain.answer else certain(chain.answer)


def _detail(measure: Intra, beliefs: Sequence[Belief], chain: Chain) -> dict[str, Any]:
    answers = [likeliest(belief) for belief in beliefs]
    if measure.kind == "prefix":
        answers.append(chain.answer)
    name = "conclusions" if measure.kind == "prefix" else "conclusions_without"
    return {
        name: [brief(answer) for answer in answers],
        "beliefs": [[[brief(answer), round(share, 4)] for answer, share in belief.items()] for belief in beliefs],
    }
