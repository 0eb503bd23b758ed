"""Train and evaluate: what was bought becomes a student, and the student is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from elad.evaluation.intervals import bootstrap_mean, wilson
from elad.experiment import Experiment
from elad.kinds import describe
from elad.learning import Lesson
from elad.ledger.events import Kind
from elad.outcomes import ParseOutcome
from elad.protocols import Student
from elad.records import Grade, Round, derive_seed, digest, from_json, to_json
from elad.stages.drafting import DRAFT_CHUNK, chains, draft_key
from elad.stages.fitting import fit, load, summary_of, told
from elad.stages.guiding import guided
from elad.stages.hearing import hear
from elad.stages.rows import bought_rows, warmup_rows
from elad.training.objectives.sft import Sft
from elad.world import World


def learn(world: World, number: int) -> Student:
    """A student trained on the warm-up rows and all that was bought up to this round, as reviewers have left it.

    With `warm_start` the last student goes on, on this round's rows alone. Nothing new to learn from leaves the student
    as it is. What a guide explains is learnt from too. Rows that are too long are told of, and counted in `world`.
    Before anything is bought the format is learnt by plain fine-tuning, whatever the objective.
    Raises: OutOfTime before a training that would begin after the cap on seconds.
    """
    one = world.experiment
    onward = one.training.warm_start and number > 0
    world.heard = hear(world, number)
    start, first = (world.student, number) if onward else (world.base, 1)
    rows = ([] if onward else warmup_rows(world)) + bought_rows(world, first, number)
    if not rows:
        return world.student
    lesson = _lesson(one, number)
    rows, beside = guided(world, lesson, rows, first, number)
    key = digest([start.id, told(rows), _settings(lesson, beside.id if beside else None)])
    summary = summary_of(world, key, number)
    if summary is None:
        shown = replace(lesson, guide=beside.shown() if beside else None)
        student, summary = fit(world, start, rows, shown, number=number, key=key)
    else:
        student = load(world, one.student, key)
    _count(world, summary, number, onward=onward)
    return student


def _lesson(one: Experiment, number: int) -> Lesson:
    """How the student is taught in a round; its guide is still to come."""
    seed = derive_seed(one.seed, "train")
    if not number and (one.objective.needs or one.feed):
        return Lesson(objective=Sft(), training=one.training, seed=seed)
    return Lesson(objective=one.objective, training=one.training, seed=seed, feed=one.feed)


def _settings(lesson: Lesson, guide: str | None) -> list[Any]:
    """What decides a lesson, for its key."""
    plain = [asdict(lesson.training), describe(lesson.objective), lesson.seed]
    extra = {"feed": lesson.feed and describe(lesson.feed), "guide": guide}
    return plain + ([extra] if any(extra.values()) else [])


def _count(world: World, summary: Mapping[str, Any], number: int, *, onward: bool) -> None:
    """Rows that were learnt from and that were too long, in all so far where the student went on."""
    too_long, most = summary.get("too_long", 0), world.experiment.training.max_length
    if too_long:
        over = f"{too_long} of {summary['examples']} rows are over training.max_length ({most} tokens)"
        world.progress.note(f"round {number}: {over}: nothing is learnt from them")
    if unpaired := summary.get("unpaired", 0):
        lone = f"{unpaired} of {summary['examples']} rows are no pairs"
        world.progress.note(f"round {number}: {lone}: nothing is learnt from them")
    if sizes := summary.get("vocabularies"):
        both = f"the student predicts {sizes['student']} tokens and its guide {sizes['guide']}, padding among them"
        world.progress.note(f"round {number}: {both}: the first {min(sizes.values())} are compared, renormalised")
    learnt = summary["examples"] - too_long - unpaired
    world.too_long = too_long + (world.too_long if onward else 0)
    world.learnt = learnt + (world.learnt if onward else 0)


def evaluate(world: World, number: int) -> Round:
    """The round written down: the current student on the held-out questions, and what was bought."""
    grades = [from_json(Grade, payload["grade"]) for payload in _graded(world, number)]
    shares = {
        "accuracy": sum(grade.strict for grade in grades),
        "accuracy_lenient": sum(grade.lenient for grade in grades),
        "parsed": sum(grade.outcome == "parsed" for grade in grades),
    }
    unread = sum(grade.outcome is ParseOutcome.TOO_LONG for grade in grades)
    if unread and not number:
        told = f"{unread} of {len(grades)} held-out questions do not fit the student's context"
        world.progress.note(f"{told}: they count as wrong")
    steps = [grade.steps for grade in grades]
    picks = [event.payload["problem_id"] for event in world.ledger.events(Kind.PICK) if event.round == number]
    outcomes: dict[str, int] = {}
    for event in world.ledger.events(Kind.REVISION):
        if event.round == number:
            outcomes[event.payload["outcome"]] = outcomes.get(event.payload["outcome"], 0) + 1
    turn = Round(
        round=number,
        picks=tuple(picks),
        revisions=outcomes,
        examples=world.learnt,
        student=world.student.id,
        **{name: count / len(grades) for name, count in shares.items()},
        steps=sum(steps) / len(steps),
        intervals={
            **{name: wilson(count, len(grades)) for name, count in shares.items()},
            "steps": bootstrap_mean(steps, seed=derive_seed(world.experiment.seed, "intervals")),
        },
        charge=world.ledger.spent(),
        seconds=_seconds(world, number),
        too_long=world.too_long,
    )
    key = digest([number, world.student.id, picks, outcomes])
    known = world.ledger.get(Kind.ROUND, key)
    if known is None:
        world.ledger.append(Kind.ROUND, [(key, to_json(turn))], round=number)
    return turn if known is None else from_json(Round, known)


def _seconds(world: World, number: int) -> dict[str, float]:
    """Time by stage of a round, over all sessions that worked on it."""
    total: dict[str, float] = {}
    for event in world.ledger.events(Kind.STAGE):
        if event.round == number:
            name = event.payload["stage"]
            total[name] = round(total.get(name, 0.0) + event.payload["seconds"], 3)
    return total


def _graded(world: World, number: int) -> Sequence[Any]:
    """Chain and grade of every held-out question by the current student."""

    def make(problems: Any) -> list[Any]:
        return [
            {"chain": to_json(chain), "grade": to_json(world.task.grade(problem, chain))}
            for problem, chain in zip(problems, chains(world.experiment, world.student, problems), strict=True)
        ]

    return world.remembered(
        Kind.GRADE,
        world.heldout,
        lambda problem: draft_key(world, problem),
        make,
        number=number,
        chunk=DRAFT_CHUNK,
        stage="evaluate",
    )
