"""A teacher that needs no model: it knows the gold answer and compares numbers with a reference solution."""

import json
from dataclasses import dataclass

from elad.outcomes import Purpose
from elad.protocols import Teacher
from elad.records import Reply, Request
from elad.teachers.finding import AnswerKey, first_wrong_step, judge_step
from elad.teachers.local import Local, failed, said

__all__ = ["Reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Judges by false arithmetic, numbers off the reference's path, and the end; repairs with its steps.

    It needs `answer`, and `rationale` for more than the conclusion. Free, instant and deterministic.
    A step is wrong when its arithmetic is false. In a chain that ends wrong, so is the first step
    that comes to a number found neither in the question, nor in the reference, nor stated before.

    What it cannot see: a wrong operation whose result happens to be a number of the reference; wrong
    entities and units about the right numbers; true steps on a way of their own in a chain that
    errs later (it names the detour); algebra in words or with unknowns; any reasoning without numbers,
    of which it judges the conclusion alone.

    How often it names the first wrong step is measured by `elad eval steps`; docs/results/first-real-run.md has the
    figures. Its rules were made on MathDial train.
    """

    def open(self) -> Teacher:
        """The teacher; it reads nothing but the problems it is asked about."""
        return Local(id="reference", serves=frozenset(Purpose) - {Purpose.ROLLOUT}, answer=answer)


def answer(request: Request, teacher: str = "reference") -> Reply:
    """What the reference says; FAILED without a gold answer to go by."""
    try:
        key = AnswerKey(request.problem)
    except ValueError as error:
        return failed(request, teacher, str(error))
    steps = request.steps
    if request.purpose in (Purpose.JUDGE, Purpose.COMPARE):
        text = _judged(request, key)
    elif request.purpose is Purpose.JUDGE_STEP:
        text = _judged_step(request, key)
    elif request.purpose is Purpose.REPAIR:
        text = _next(key, steps[:-1])
    elif request.purpose is Purpose.CONTINUE:
        text = "\n".join([*key.remaining(steps), key.conclusion])
    elif request.purpose is Purpose.SOLVE:
        text = "\n".join([*key.lines, key.conclusion])
    else:
        text = key.conclusion
    return said(request, teacher, text)


def _judged(request: Request, key: AnswerKey) -> str:
    found = first_wrong_step(request.problem, request.steps)
    corrected = "" if found.index is None else _next(key, request.steps[: found.index])
    return _json(first_error=found.index, corrected_step=corrected, reason=found.reason)


def _judged_step(request: Request, key: AnswerKey) -> str:
    *accepted, step = request.steps or ("",)
    found = judge_step(request.problem, accepted, step)
    right = found.index is None
    return _json(correct=right, corrected_step="" if right else _next(key, accepted), reason=found.reason)


def _next(key: AnswerKey, accepted: tuple[str, ...] | list[str]) -> str:
    """The reference's next step after the accepted ones."""
    return (*key.remaining(accepted), key.conclusion)[0]


def _json(**fields: object) -> str:
    return json.dumps(fields, ensure_ascii=False)
