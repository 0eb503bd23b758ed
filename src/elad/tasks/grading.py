"""How a chain becomes a grade, for all answer families alike."""

from collections.abc import Callable

from elad.outcomes import ParseOutcome
from elad.protocols import Task
from elad.records import Chain, Grade, Problem
from elad.tasks.conclusions import as_asked

_SILENT = frozenset({ParseOutcome.NO_CONCLUSION, ParseOutcome.TRUNCATED})


def grade(task: Task, problem: Problem, chain: Chain, guess: Callable[[str], str | None]) -> Grade:
    """The grade of a chain whose answer is already parsed.

    Strict: the chain's own answer is right, and it was given in the words asked for. Lenient: it is
    right in whatever words; or the chain names no answer, and `guess`, the best reading of its
    text, is right. An ambiguous conclusion and a refusal are never guessed at.

    Raises: ValueError without a gold answer.
    """
    if problem.answer is None:
        raise ValueError(f"problem {problem.id!r} has no gold answer to grade against")
    right = chain.outcome is ParseOutcome.PARSED and task.same(chain.answer, problem.answer, problem)
    guessed = chain.outcome in _SILENT and task.same(guess(chain.text), problem.answer, problem)
    return Grade(
        problem_id=problem.id,
        strict=right and as_asked(chain.text),
        lenient=right or guessed,
        outcome=chain.outcome,
        answer=chain.answer,
        steps=len(chain.steps),
    )
