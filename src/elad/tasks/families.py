"""Which task a question belongs to, for those who see no more of it than question and answer."""

from elad.protocols import Task
from elad.records import Problem
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.tasks.quantities import number
from elad.tasks.text import Text


def task_of(problem: Problem, answer: str) -> Task:
    """The answer family that a problem with this answer belongs to."""
    if problem.choices:
        return Choice()
    return Text() if number(answer) is None else Numeric()
