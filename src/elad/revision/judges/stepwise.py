"""Judges a chain one step a call."""

from dataclasses import dataclass

from elad.outcomes import Purpose
from elad.revision import replies
from elad.revision.case import Asking, Case, Draft, Finding, lines

__all__ = ["Stepwise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepwise:
    """The teacher reads the steps in order, one a call, up to the first that is wrong.

    Source: the protocol that is reconstructed for ELAD; steps accepted in an earlier turn are not
    asked about again.
    """

    @property
    def needs(self) -> frozenset[Purpose]:
        return frozenset({Purpose.JUDGE_STEP})

    def __call__(self, case: Case, draft: Draft) -> Asking[Finding]:
        steps = [step.text for step in draft.chain.steps]
        for i in range(draft.accepted, len(steps)):
            request = case.request(Purpose.JUDGE_STEP, steps[: i + 1], given=lines(steps[:i]), step=steps[i].strip())
            said = yield from case.ask_json(request, replies.step_judgement)
            if not said.correct:
                return Finding(first_error=i, corrected=said.corrected, reason=said.reason)
        return Finding(first_error=None)
