"""Whether a set of questions and its grader fit each other: checked without any model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ConfigDict

from elad.errors import DataError
from elad.outcomes import ParseOutcome
from elad.protocols import Task
from elad.records import Problem, Sampling
from elad.tasks import quantities
from elad.tasks.chains import make_chain
from elad.tasks.offered import LETTERS
from elad.tasks.reading import same_question

_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one row."""

    __pydantic_config__ = _CONFIG

    id: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What `validate` found; as JSON, what `elad validate --json` prints."""

    __pydantic_config__ = _CONFIG

    rows: int
    graded_correct: int
    """Rows whose gold answer, concluded as the task asks, is strictly right; rows without one are not."""
    problems: tuple[Fault, ...]


def validate(problems: Sequence[Problem], task: Task) -> Validation:
    """Every gold answer must grade as right, and a wrong one as wrong; questions must not repeat.

    For choices the gold answer is also given by its letter alone and by its text alone. A row
    without a gold answer can be put and parsed, no more, and is no fault.
    """
    faults: list[Fault] = []
    correct = 0
    first: dict[tuple[str, ...], Problem] = {}
    for problem in problems:
        found = list(_faults(problem, task))
        correct += problem.answer is not None and not found
        earlier = first.setdefault(same_question(problem), problem)
        if earlier is not problem:
            found.append(f"same question as {earlier.id!r}" + _disagreement(earlier, problem, task))
        faults.extend(Fault(id=problem.id, what=what) for what in found)
    return Validation(rows=len(problems), graded_correct=correct, problems=tuple(faults))


def kind_of(problems: Sequence[Problem]) -> str:
    """The answer family that fits: choice, numeric where every gold answer is a number, else text.

    Raises: DataError when some problems have choices and others do not.
    """
    with_choices = [problem for problem in problems if problem.choices]
    if with_choices and len(with_choices) < len(problems):
        odd = next(problem for problem in problems if not problem.choices)
        raise DataError(f"problem {odd.id!r} has no choices, and {with_choices[0].id!r} has some: split the file")
    if with_choices:
        return "choice"
    answers = [problem.answer for problem in problems if problem.answer is not None]
    return "numeric" if answers and all(quantities.number(answer) is not None for answer in answers) else "text"


def _faults(problem: Problem, task: Task) -> Iterator[str]:
    try:
        task.messages(problem)
        if problem.answer is None:
            return
        right = task.conclusion(problem, problem.answer)
        wrong = task.conclusion(problem, task.wrong_answer(problem))
    except ValueError as error:
        yield str(error)
        return
    strict, _, outcome = _graded(right, problem, task)
    if not strict:
        yield f"gold answer {problem.answer[:80]!r} is not graded right: {right[:120]!r} is {outcome}"
    if any(_graded(wrong, problem, task)[:2]):
        yield f"a wrong answer is graded right: {wrong[:120]!r}"
    if task.options(problem) is not None and problem.choices:
        yield from _forms(problem, problem.choices, problem.answer, task)


def _forms(problem: Problem, choices: tuple[str, ...], answer: str, task: Task) -> Iterator[str]:
    """Complaints about the gold option given by its letter alone, and by its text alone."""
    letter = LETTERS[next(i for i, text in enumerate(choices) if task.same(text, answer, problem))]
    if not _graded(f"{task.cue} ({letter}).", problem, task)[0]:
        yield f"gold answer is not graded right by its letter {letter!r}"
    if answer.upper() in LETTERS[: len(choices)]:
        return  # "C" as the text of option (A): alone it says nothing, and is AMBIGUOUS
    if not _graded(f"{task.cue} {answer}.", problem, task)[0]:
        yield f"gold answer is not graded right by its text {answer[:80]!r}"


def _graded(text: str, problem: Problem, task: Task) -> tuple[bool, bool, ParseOutcome]:
    chain = make_chain(
        text, problem, task, finished=True, sampling=Sampling(), seed=0, tokens=0, most_steps=1
    )  # fmt: skip
    grade = task.grade(problem, chain)
    return grade.strict, grade.lenient, grade.outcome


def _disagreement(first: Problem, second: Problem, task: Task) -> str:
    if first.answer is None or second.answer is None or task.same(first.answer, second.answer, second):
        return ""
    return ", with another answer"
