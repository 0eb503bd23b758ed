"""Judges a whole chain in one call."""

from collections.abc import Sequence
from dataclasses import dataclass

from elad.outcomes import Purpose, RevisionOutcome
from elad.records import Request
from elad.revision import replies
from elad.revision.case import Asking, Case, Draft, Ended, Finding

__all__ = ["Direct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """The teacher reads the chain and names its first wrong step, for teachers that can criticise."""

    @property
    def needs(self) -> frozenset[Purpose]:
        return frozenset({Purpose.JUDGE})

    def __call__(self, case: Case, draft: Draft) -> Asking[Finding]:
        steps = [step.text for step in draft.chain.steps]
        request = case.request(Purpose.JUDGE, steps, given=numbered(steps))
        return (yield from judged(case, request))


def judged(case: Case, request: Request) -> Asking[Finding]:
    """What the teacher found in the chain that `request` shows. Raises: Ended on an index outside it."""
    said = yield from case.ask_json(request, replies.judgement)
    if said.first_error is not None and not 0 <= said.first_error < len(request.steps):
        count = len(request.steps)
        raise Ended(RevisionOutcome.BAD_INDEX, f"step {said.first_error} of a chain of {count} steps")
    return Finding(first_error=said.first_error, corrected=said.corrected, reason=said.reason)


def numbered(steps: Sequence[str]) -> str:
    """The steps one a line, numbered from [0]: the number is the index that the reply must give."""
    return "\n".join(f"[{i}] {' '.join(step.split())}" for i, step in enumerate(steps))
