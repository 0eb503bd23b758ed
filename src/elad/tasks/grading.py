"""How a chain becomes a grade, for all answer families alike."""

from elad.protocols import Parsed, Task
from elad.records import Chain, Grade, ParseOutcome, Problem

_SILENT = frozenset({ParseOutcome.NO_CONCLUSION, ParseOutcome.TRUNCATED})


def grade(task: Task, problem: Problem, chain: Chain, *, asked: bool, guess: str | None) -> Grade:
    """The grade of a chain whose answer is already parsed.

    Strict: the chain's own answer is right, and it was given in the words asked for (`asked`).
    Lenient: it is right however it was given; or the chain names no answer, and `guess`, the best
    reading of its text, is right. An ambiguous conclusion and a refusal are never guessed at.

    Raises: ValueError without a gold answer.
    """
    if problem.answer is None:
        raise ValueError(f"problem {problem.id!r} has no gold answer to grade against")
    parsed = Parsed(answer=chain.answer, outcome=chain.outcome)
    right = parsed.outcome is ParseOutcome.PARSED and task.same(parsed.answer, problem.answer, problem)
    guessed = parsed.outcome in _SILENT and task.same(guess, problem.answer, problem)
    return Grade(
        problem_id=problem.id,
        strict=right and asked,
        lenient=right or guessed,
        outcome=parsed.outcome,
        answer=parsed.answer,
        steps=len(chain.steps),
    )
