"""The course of an arm: what its rounds came to, from its events."""

from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from elad.courses import Measured
from elad.ledger.events import Kind, Ledger
from elad.records import Grade, Round, from_json


def measured(ledger: Ledger) -> list[Measured]:
    """The rounds from 0 on of the arm that sees the ledger; one that a larger cap went on with, as it is now."""
    rounds = {turn.round: (turn, grades) for turn, grades in graded(ledger)}
    made: list[Measured] = []
    bought = 0
    for _, (turn, grades) in sorted(rounds.items()):
        bought += sum(turn.revisions.values())
        ordered = [grades[key].grade for key in sorted(grades)]
        made.append(
            Measured(
                right=tuple(grade.strict for grade in ordered),
                answers=tuple(grade.answer for grade in ordered),
                questions=bought,
                money=turn.charge.money,
            )
        )
    return made


class Graded(NamedTuple):
    """A grade of a held-out question, and the key of its event, which holds the chain too."""

    key: str
    grade: Grade


def graded(ledger: Ledger) -> Iterator[tuple[Round, dict[str, Graded]]]:
    """Each round with its grades by question, in order; of a round that was gone on with, the later one holds.

    A student is graded once: one that a round left as it was has those from before.
    """
    by_student: dict[str, dict[str, Graded]] = {}
    fresh: dict[str, Graded] = {}
    for event in merge(ledger.events(Kind.GRADE), ledger.events(Kind.ROUND), key=lambda event: event.seq):
        if event.kind is Kind.GRADE:
            grade = from_json(Grade, event.payload["grade"])
            fresh[grade.problem_id] = Graded(event.key, grade)
        else:
            turn = from_json(Round, event.payload)
            yield turn, by_student.setdefault(turn.student, fresh)
            fresh = {}
