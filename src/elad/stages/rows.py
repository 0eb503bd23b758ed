"""Rows: what there is to learn from, by the round that bought it."""

from collections.abc import Iterator
from dataclasses import replace
from os.path import commonprefix

from elad.learning import Need
from elad.ledger.events import Kind
from elad.ledger.people import reviewed
from elad.outcomes import RevisionOutcome
from elad.records import Example, Problem, Revision, from_json
from elad.world import World


def warmup_rows(world: World) -> list[Example]:
    """The rows that every arm learns the format from."""
    return [_row(world, problem, f"{problem.rationale}\n{_end(world, problem)}") for problem in world.warmup]


def bought_rows(world: World, first: int, last: int) -> list[Example]:
    """Of the revisions of some rounds, both ends included, those that may be trained on, in the order of the picks.

    What a reviewer has rejected is not among them; what one has edited is, as it was edited. Where the objective learns
    from pairs, what was repaired or edited is preferred to the student's own chain. With `edited_weight` the repaired
    step is marked by it, where it stands in the chain as it was bought.
    """
    weight, paired = world.experiment.edited_weight, Need.PAIRS in world.experiment.objective.needs
    return [
        replace(
            _row(world, problem, revision.after, revision.outcome),
            rejected=_rejected(revision) if paired else revision.rejected,
            marks=() if weight is None else tuple((*part, weight) for part in _edited(revision.after, revision)),
        )
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


def _rejected(revision: Revision) -> str | None:
    """What is worse than the revised chain; None where nothing is known to be, or the student has written nothing."""
    repaired = revision.outcome in (RevisionOutcome.REPAIRED, RevisionOutcome.EDITED)
    return revision.rejected or (revision.before.rstrip() or None if repaired else None)


def _edited(after: str, revision: Revision) -> list[tuple[int, int]]:
    """The characters of the repaired step: it begins no later than where the chain parts from the student's own."""
    edit = revision.edit
    if not edit or revision.outcome is not RevisionOutcome.REPAIRED:
        return []
    common = len(commonprefix([revision.before, after]))  # noqa: RUF071 - characters are meant
    parting = len(after) - len(after[common:].lstrip())
    start = after.rfind(edit, 0, parting + len(edit))
    return [] if start < 0 else [(start, start + len(edit))]


def _end(world: World, problem: Problem) -> str:
    return world.task.conclusion(problem, problem.answer or "")


def _row(world: World, problem: Problem, target: str, source: str = "warmup") -> Example:
    return Example(problem_id=problem.id, messages=world.task.messages(problem), target=target, source=source)
