"""Has the teacher give the answer alone: the control that shows what explanations are worth."""

from dataclasses import dataclass

from elad.errors import require
from elad.outcomes import Purpose, RevisionOutcome
from elad.protocols import Revising, Task
from elad.records import Candidate, Revision
from elad.revision import texts
from elad.revision.case import Asking, Case, Ended

__all__ = ["AnswerOnly"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOnly:
    """The chain to train on is the conclusion alone, with the teacher's answer."""

    max_tokens: int = 48

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(self.max_tokens >= 1, "reviser.max_tokens", "at least 1", self.max_tokens)

    @property
    def needs(self) -> frozenset[Purpose]:
        return frozenset({Purpose.ANSWER})

    def __call__(self, candidate: Candidate, task: Task) -> Revising:
        case = Case(candidate=candidate, task=task, reviser="answer_only", max_tokens=self.max_tokens)
        return case.settle(_answer(case))


def _answer(case: Case) -> Asking[Revision]:
    said = yield from case.ask_text(case.request(Purpose.ANSWER), ())
    if not said:
        raise Ended(RevisionOutcome.UNREADABLE, "the answer could not be read")
    problem, task = case.candidate.problem, case.task
    # A teacher that leaves the cue out has still answered.
    found = task.parse("\n".join(said), problem).answer or task.parse(f"{task.cue} {said[0]}", problem).answer
    answer = case.check_end(found)
    whole = texts.Whole(text=task.conclusion(problem, answer), answer=answer)
    return case.revision(RevisionOutcome.REWRITTEN, whole=whole)
