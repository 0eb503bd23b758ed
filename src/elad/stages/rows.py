"""Rows: what there is to learn from, by the round that bought it."""

from collections.abc import Iterator
from dataclasses import replace

from elad.ledger.events import Kind
from elad.ledger.people import reviewed
from elad.records import Example, Problem, Revision, from_json
from elad.world import World


def warmup_rows(world: World) -> list[Example]:
    """The rows that every arm learns the format from."""
    return [_row(world, problem, f"{problem.rationale}\n{_end(world, problem)}") for problem in world.warmup]


def bought_rows(world: World, first: int, last: int) -> list[Example]:
    """Of the revisions of some rounds, both ends included, those that may be trained on, in the order of the picks.

    What a reviewer has rejected is not among them; what one has edited is, as it was edited.
    """
    return [
        replace(_row(world, problem, revision.after, revision.outcome), rejected=revision.rejected)
        for problem, revision in _revised(world, first, last)
        if revision.outcome.trainable and revision.after is not None
    ]


def bought_problems(world: World, first: int, last: int) -> list[Problem]:
    """The questions that were bought in some rounds, both ends included, whatever came of them, in the picks' order."""
    return [problem for problem, _ in _revised(world, first, last)]


def _revised(world: World, first: int, last: int) -> Iterator[tuple[Problem, Revision]]:
    """Picks hold their questions. One that a cap kept from being revised was not bought."""
    revised = {
        event.payload["problem_id"]: reviewed(from_json(Revision, event.payload), world.heard.get(event.key))
        for event in world.ledger.events(Kind.REVISION)
        if first <= event.round <= last
    }
    for event in world.ledger.events(Kind.PICK):
        if revision := revised.get(event.payload["problem_id"]):
            yield from_json(Problem, event.payload["problem"]), revision


def _end(world: World, problem: Problem) -> str:
    return world.task.conclusion(problem, problem.answer or "")


def _row(world: World, problem: Problem, target: str, source: str = "warmup") -> Example:
    return Example(problem_id=problem.id, messages=world.task.messages(problem), target=target, source=source)
