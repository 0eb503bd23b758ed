"""One round of the loop on fakes: no model, no network, a few seconds. Read it as the design.

    python examples/one_round.py

A scripted student drafts, is scored step by step, has its worst chains repaired by a teacher that
works from reference solutions, learns, and is measured. Swap any value for your own: a student, a
teacher, or a strategy is a small frozen dataclass with one verb.
"""

import tempfile

from elad import Experiment, run
from elad.experiment import Data, Rounds
from elad.records import Problem
from elad.revision.first_error import FirstError
from elad.selection.top import Top
from elad.students.fake import Fake
from elad.tasks.numeric import Numeric
from elad.teachers.reference import Reference
from elad.uncertainty.elad import Elad


def stories(start: int, count: int) -> tuple[Problem, ...]:
    """Made-up questions with their answer and a reference solution."""
    return tuple(
        Problem(
            id=f"story-{n}",
            question=f"Ana has {n} pens. She buys {2 * n} pens and finds {n + 3} pens. How many pens are there?",
            answer=str(4 * n + 3),
            rationale=f"{n} + {2 * n} = {3 * n}.\n{3 * n} + {n + 3} = {4 * n + 3}.",
        )
        for n in range(start, start + count)
    )


experiment = Experiment(
    name="one-round",
    data=Data(pool=stories(2, 60), heldout=stories(100, 40)),
    task=Numeric(),  # how a question is put, an answer read, and a chain graded
    student=Fake(skill=0.5),  # who drafts and learns
    teacher=Reference(),  # who is asked
    uncertainty=Elad(intra="prefix", inter="answers", samples=3),  # how unsure is the student of each step?
    selector=Top(),  # which questions are bought
    reviser=FirstError(judge="direct", repair="blind"),  # what the teacher is asked to do with a chain
    rounds=Rounds(count=1, questions=40),
)

with tempfile.TemporaryDirectory() as folder:
    for turn in run(experiment, folder):
        low, high = turn.intervals["accuracy"]
        print(
            f"round {turn.round}: {len(turn.picks)} bought {dict(turn.revisions)}, "
            f"{turn.accuracy:.0%} right (95 % interval {low:.0%} to {high:.0%}), {turn.parsed:.0%} parsed"
        )
