"""The first wrong step of a chain, found by comparing numbers with a reference solution."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from elad import steps as cutting
from elad.arithmetic import claims, numbers
from elad.protocols import Task
from elad.records import Problem
from elad.tasks.families import task_of
from elad.tasks.numeric import Numeric
from elad.tasks.quantities import number

_MOST_STEPS = 1000
_SCALE = 10_000
"""Values are the same within 1e-4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found in a chain."""

    index: int | None
    """Of the first wrong step, from 0; None if none was found."""
    reason: str


@dataclass(frozen=True, slots=True)
class _Values:
    """A set of numbers, with tolerance."""

    keys: set[int] = field(default_factory=set[int])

    def add(self, values: Iterable[Fraction]) -> None:
        self.keys.update(round(value * _SCALE) for value in values)

    def __contains__(self, value: Fraction) -> bool:
        key = round(value * _SCALE)
        return not self.keys.isdisjoint((key - 1, key, key + 1))


class AnswerKey:
    """What is known of a problem: its gold answer, its reference solution, the numbers in both.

    Raises: ValueError without a gold answer.
    """

    def __init__(self, problem: Problem) -> None:
        if problem.answer is None:
            raise ValueError("the problem has no gold answer")
        self.problem = problem
        self.answer = problem.answer
        self.task: Task = task_of(problem, problem.answer)
        self.numeric = isinstance(self.task, Numeric)
        self.conclusion = self.task.conclusion(problem, problem.answer)
        self.lines = _lines(problem.rationale or "")
        self._path = _Values()
        for line in self.lines:
            self._path.add(numbers(line))
            self._path.add(_results(line))
        gold = number(problem.answer) if self.numeric else None
        if gold is not None:
            self._path.add([gold])

    def given(self) -> _Values:
        """The numbers of the question."""
        values = _Values()
        values.add(numbers(f"{self.problem.context or ''}\n{self.problem.question}"))
        return values

    def stated(self, step: str) -> list[Fraction]:
        """What a step comes to: the results of its arithmetic, else (for number answers) its numbers."""
        return _results(step) or (list(numbers(step)) if self.numeric else [])

    def fault(self, step: str, known: _Values) -> str:
        """Why a step is wrong by itself, where `known` was stated before; empty if it is not."""
        for claim in claims(step):
            if not claim.holds:
                return f"{claim.text[:80].strip()} is false"
        for value in self.stated(step) if self.lines else ():
            if value not in known and value not in self._path:
                return f"{_shown(value)} is not on the way to the answer"
        return ""

    def contradicted(self, step: str) -> bool:
        """Whether a step concludes, and with another answer."""
        concluded = self.task.parse(step, self.problem).answer
        return concluded is not None and not self.task.same(concluded, self.answer, self.problem)

    def reached(self, steps: Sequence[str]) -> bool:
        """Whether the chain ends at the gold answer; without a concluding sentence its last number counts."""
        concluded = self.task.parse("\n".join(steps), self.problem).answer
        if concluded is None and self.numeric:
            last = numbers(steps[-1])
            concluded = str(last[-1]) if last else None
        return self.task.same(concluded, self.answer, self.problem)

    def remaining(self, accepted: Sequence[str]) -> list[str]:
        """The reference steps whose result no accepted step states."""
        done, said = _Values(), {_plain(step) for step in accepted}
        for step in accepted:
            done.add(_results(step) or numbers(step))
        return [line for line in self.lines if _plain(line) not in said and not _among(line, done)]

    def is_line(self, step: str) -> bool:
        """Whether the reference says a step word for word."""
        return _plain(step) in {_plain(line) for line in self.lines}


def first_wrong_step(problem: Problem, steps: Sequence[str]) -> Finding:
    """The first step with false arithmetic or, where the chain ends wrong, off the reference's path.

    A step is off the path when it comes to a number that is neither in the question, nor in the
    reference, nor stated before. A chain that ends at the gold answer went a way of its own: only false
    arithmetic counts against it. A chain that ends wrong without leaving the path stopped early or
    concluded amiss: the last step is named, or the one whose number it repeats. Without a reference
    solution there is no path, and the end is all that is compared.

    Measured, rules made on MathDial's training part alone: the figures are in `reference.py`.
    Raises: ValueError without a gold answer.
    """
    key = AnswerKey(problem)
    if not steps:
        return Finding(index=None, reason="there are no steps")
    reached = key.reached(steps)
    known = key.given()
    for index, step in enumerate(steps):
        false = next((claim for claim in claims(step) if not claim.holds), None)
        reason = f"{false.text[:80].strip()} is false" if false else ""
        if not reached:
            reason = key.fault(step, known)
        if reason:
            return Finding(index=index, reason=reason)
        known.add(key.stated(step))
    if reached:
        return Finding(index=None, reason="ends at the answer, with no false arithmetic")
    index = _repeated(key, steps)
    return Finding(index=index, reason="the chain does not end at the answer")


def judge_step(problem: Problem, accepted: Sequence[str], step: str) -> Finding:
    """Whether one more step is wrong, without knowing how the chain goes on.

    A right step on a way of its own is named, too, where it leaves the reference's path.
    Raises: ValueError without a gold answer.
    """
    key = AnswerKey(problem)
    known = key.given()
    for one in accepted:
        known.add(key.stated(one))
    reason = key.fault(step, known)
    if not reason and key.contradicted(step):
        reason = "concludes with another answer"
    return Finding(index=len(accepted) if reason else None, reason=reason)


def _repeated(key: AnswerKey, steps: Sequence[str]) -> int:
    """The last step, or the one before whose result is all that the last step states."""
    last = len(steps) - 1
    values = set(numbers(steps[last]))
    if len(values) == 1 and key.numeric:
        given = key.given()
        (value,) = values
        for index in range(last - 1, -1, -1):
            results = _results(steps[index])
            stated = value in results or (value not in given and value in numbers(steps[index]))
            if stated and not key.is_line(steps[index]):
                return index
    return last


def _lines(rationale: str) -> tuple[str, ...]:
    """The reference solution, a step a line, without its closing answer."""
    pieces = [" ".join(step.text.split()) for step in cutting.split(rationale, most=_MOST_STEPS)]
    while pieces and cutting.is_conclusion(pieces[-1]):
        pieces.pop()
    return tuple(piece for piece in pieces if piece)


def _results(step: str) -> list[Fraction]:
    return [claim.right for claim in claims(step) if claim.right is not None]


def _among(line: str, done: _Values) -> bool:
    stated = _results(line) or numbers(line)
    return bool(stated) and stated[-1] in done


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


def _shown(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):g}"
