"""Judges a whole chain against the teacher's own solution."""

from dataclasses import dataclass

from elad.outcomes import Purpose, RevisionOutcome
from elad.revision.case import Asking, Case, Draft, Ended, Finding
from elad.revision.judges.direct import judged, numbered

__all__ = ["Compare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """The teacher first solves the question unseen by the chain, then compares the two.

    Without a gold answer, what its solution concludes is the target; where it accepts a chain that ends
    elsewhere, it disagrees with itself: the outcome is UNSURE.
    """

    @property
    def needs(self) -> frozenset[Purpose]:
        return frozenset({Purpose.SOLVE, Purpose.COMPARE})

    def __call__(self, case: Case, draft: Draft) -> Asking[Finding]:
        solution = yield from case.ask_text(case.request(Purpose.SOLVE), ())
        if not solution:
            raise Ended(RevisionOutcome.UNREADABLE, "the teacher's own solution could not be read")
        steps = [step.text for step in draft.chain.steps]
        request = case.request(Purpose.COMPARE, steps, given=numbered(steps), solution="\n".join(solution))
        if case.target is None:
            case.target = case.task.parse("\n".join(solution), case.candidate.problem).answer
        finding = yield from judged(case, request)
        ends = draft.chain.answer
        ungraded = case.candidate.problem.answer is None
        if ungraded and finding.first_error is None and ends and case.target and not case.at_target(ends):
            raise Ended(RevisionOutcome.UNSURE, f"accepts a chain that ends at {ends!r}, and solves to {case.target!r}")
        return finding
