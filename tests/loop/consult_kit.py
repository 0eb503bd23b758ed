"""A reviser that has the student sample in two ways of its own, and weigh what came of it; it asks no teacher."""

from dataclasses import dataclass
from typing import ClassVar, cast

from elad.outcomes import Purpose, RevisionOutcome, Verdict
from elad.protocols import Generation, Prompt, Revising, Sample, Task, Weighing
from elad.records import Candidate, Charge, Revision, Sampling


@dataclass(frozen=True, kw_only=True)
class Consulting:
    """Keeps all that it was told in `reason`, so that two runs differ where that differs."""

    hot: float = 1.0
    needs: ClassVar[frozenset[Purpose]] = frozenset()

    def __call__(self, candidate: Candidate, task: Task) -> Revising:
        prompts = [Prompt(messages=task.messages(candidate.problem), seed=seed) for seed in (1, 2)]
        ways = [Sampling(temperature=heat, max_tokens=40) for heat in (0.5, self.hot)]
        told = yield (prompts[0], *(Sample(prompt=one, sampling=way) for one in prompts for way in ways))
        texts = [said.text for said in told if isinstance(said, Generation)]
        (weights,) = yield (Weighing(prompt=prompts[0], options=(texts[1], texts[3])),)
        assert isinstance(weights, tuple)
        return Revision(
            problem_id=candidate.problem.id,
            outcome=RevisionOutcome.REWRITTEN,
            before=candidate.chain.text,
            after=texts[3],
            answer=None,
            verdicts=(Verdict.UNJUDGED,) * len(candidate.chain.steps),
            first_error=None,
            edit=None,
            reason=repr((texts, [sum(cast("tuple[float, ...]", option)) for option in weights])),
            reviser="consulting",
            charge=Charge(),
            requests=(),
            prompt_versions=(),
        )
