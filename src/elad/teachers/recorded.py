"""Rationales that a teacher once wrote, replayed from the data."""

from dataclasses import dataclass, replace

from pydantic import BaseModel, TypeAdapter, ValidationError

from elad import steps
from elad.outcomes import Purpose
from elad.protocols import Teacher
from elad.records import Problem, Reply, Request
from elad.tasks.families import task_of
from elad.teachers.counting import estimate_tokens
from elad.teachers.local import ONE_CALL, Local, failed, said

__all__ = ["Recorded"]

_SERVES = frozenset({Purpose.SOLVE, Purpose.ANSWER})
_MOST_STEPS = 1000


class _Rationale(BaseModel):
    text: str
    answer: str | None = None
    teacher: str = ""
    style: str = ""


_RATIONALES = TypeAdapter(list[_Rationale])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What `teacher_rationales` in the data says: a list of {teacher, text, answer, style} per question.

    It can solve and answer, not judge. Of several fitting rationales the request's seed takes one:
    seeds 0, 1, 2 take the first, second and third. Where the rationale's answer could not be read when it was
    recorded, the solution comes without a conclusion. What the teacher read is unknown: tokens out
    are estimated as UTF-8 bytes / 3, tokens in are 0.
    """

    name: str | None = None
    """Only rationales of this teacher; None takes any."""
    style: str | None = None
    """Only rationales of this style; None takes any."""

    def open(self) -> Teacher:
        """The teacher; it reads nothing but the problems it is asked about."""
        named = [part for part in (self.name, self.style) if part]
        identity = ":".join(["recorded", *named])
        return Local(id=identity, serves=_SERVES, answer=lambda request: self._reply(request, identity))

    def _reply(self, request: Request, identity: str) -> Reply:
        if request.purpose not in _SERVES:
            return failed(request, identity, f"cannot {request.purpose}: only recorded rationales")
        try:
            known = _RATIONALES.validate_python(request.problem.metadata.get("teacher_rationales", []))
        except ValidationError:
            return failed(request, identity, "teacher_rationales is not a list of {teacher, text, answer, style}")
        fitting = [one for one in known if self.name in (None, one.teacher) and self.style in (None, one.style)]
        if not fitting:
            return failed(request, identity, "no such rationale is recorded for this question")
        chosen = fitting[request.seed % len(fitting)]
        try:
            end = _conclusion(request.problem, chosen.answer)
        except ValueError:
            return failed(request, identity, "the recorded answer is none of the options")
        lines = [end] if request.purpose is Purpose.ANSWER else [_without_conclusion(chosen.text), end]
        text = "\n".join(line for line in lines if line)
        if not text:
            return failed(request, identity, "no answer is recorded with the rationale")
        charge = replace(ONE_CALL, tokens_out=estimate_tokens(text), estimated=True)
        return said(request, identity, text, charge)


def _conclusion(problem: Problem, answer: str | None) -> str:
    return "" if answer is None else task_of(problem, answer).conclusion(problem, answer)


def _without_conclusion(text: str) -> str:
    """The reasoning up to the concluding steps at its end."""
    pieces = [step.text for step in steps.split(text, most=_MOST_STEPS)]
    while pieces and steps.is_conclusion(pieces[-1]):
        pieces.pop()
    return "".join(pieces).strip()
