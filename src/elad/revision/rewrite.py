"""Has the teacher write a fresh explanation: the control that `first_error` is measured against."""

from dataclasses import dataclass

from elad.errors import require
from elad.outcomes import Purpose, RevisionOutcome
from elad.protocols import Revising, Task
from elad.records import Candidate, Revision
from elad.revision import texts
from elad.revision.case import Asking, Case, Ended

__all__ = ["Rewrite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """The chain to train on is the teacher's own solution, written without a look at the student's."""

    max_tokens: int = 256

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(self.max_tokens >= 1, "reviser.max_tokens", "at least 1", self.max_tokens)

    @property
    def needs(self) -> frozenset[Purpose]:
        return frozenset({Purpose.SOLVE})

    def __call__(self, candidate: Candidate, task: Task) -> Revising:
        case = Case(candidate=candidate, task=task, reviser="rewrite", max_tokens=self.max_tokens)
        return case.settle(_solve(case))


def _solve(case: Case) -> Asking[Revision]:
    solution = yield from case.ask_text(case.request(Purpose.SOLVE), ())
    if not solution:
        raise Ended(RevisionOutcome.UNREADABLE, "the solution could not be read")
    whole = texts.whole(case.candidate.problem, case.task, "", solution)
    case.check_end(whole.answer)
    return case.revision(RevisionOutcome.REWRITTEN, whole=whole)
