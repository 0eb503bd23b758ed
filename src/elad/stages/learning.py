"""Train and evaluate: what was bought becomes a student, and the student is measured."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from elad.evaluation.intervals import bootstrap_mean, wilson
from elad.kinds import describe
from elad.learning import Lesson
from elad.ledger.events import Kind
from elad.outcomes import ParseOutcome
from elad.protocols import Student
from elad.records import (
    Example,
    Grade,
    Problem,
    Revision,
    Round,
    derive_seed,
    digest,
    from_json,
    to_json,
)
from elad.stages.drafting import DRAFT_CHUNK, chains, draft_key
from elad.stages.guiding import SOURCE, explained, shown, wants
from elad.training.objectives.sft import Sft
from elad.world import World


def learn(world: World, number: int) -> Student:
    """A student trained on the warm-up rows and all that was bought up to this round.

    With `warm_start` the last student goes on, on this round's rows alone. Nothing new to learn
    from leaves the student as it is. Rows that are too long are told of, and counted in `world`. A training
    that was begun goes to its end, since half of one cannot be kept. Before anything is bought the format is learnt by
    plain fine-tuning, whatever the objective.
    Raises: OutOfTime before one that would begin after the cap on seconds.
    """
    training = world.experiment.training
    onward = training.warm_start and number > 0
    start = world.student if onward else world.base
    bought = _bought(world, only=number if training.warm_start else None, up_to=number)
    examples = ([] if onward else _warmup(world)) + bought
    if not examples:
        return world.student
    lesson = _lesson(world, number)
    key = digest([start.id, [_told(example) for example in examples], _settings(world, lesson)])
    summary = _summary(world, key, number)
    if summary is None:
        lesson, more = _guided(world, lesson, examples, number)
        student, summary = _fit(world, start, examples + more, lesson, number, key)
    else:
        student = world.experiment.student.load(world.ledger.folder / "students" / key)
    too_long = summary.get("too_long", 0)
    if too_long:
        over = f"{too_long} of {summary['examples']} rows are over training.max_length ({training.max_length} tokens)"
        world.progress.note(f"round {number}: {over}: nothing is learnt from them")
    if sizes := summary.get("vocabularies"):
        both = f"the student predicts {sizes['student']} tokens and its guide {sizes['guide']}, padding among them"
        world.progress.note(f"round {number}: {both}: the first {min(sizes.values())} are compared, renormalised")
    world.too_long = too_long + (world.too_long if onward else 0)
    return student


def _lesson(world: World, number: int) -> Lesson:
    """How the student is taught in a round; its guide is still to come."""
    one = world.experiment
    seed = derive_seed(one.seed, "train")
    if not number and (one.objective.needs or one.feed):
        return Lesson(objective=Sft(), training=one.training, seed=seed)
    return Lesson(objective=one.objective, training=one.training, seed=seed, feed=one.feed)


def _settings(world: World, lesson: Lesson) -> list[Any]:
    """What decides a lesson, for its key."""
    plain = [asdict(lesson.training), describe(lesson.objective), lesson.seed]
    guide = world.experiment.guide if _asks_guide(world, lesson) else None
    extra = {"feed": lesson.feed and describe(lesson.feed), "guide": guide and guide.resolved()}
    return plain + ([extra] if any(extra.values()) else [])


def _asks_guide(world: World, lesson: Lesson) -> bool:
    """Whether a guide has a part in it: not in the warm-up, which the objective has none in either."""
    return world.experiment.guide is not None and lesson.objective == world.experiment.objective


def _told(example: Example) -> dict[str, Any]:
    """An example for the key of a training: as it was before examples had more fields, where they say nothing."""
    return {name: value for name, value in to_json(example).items() if value not in (None, [])}


def _guided(world: World, lesson: Lesson, examples: list[Example], number: int) -> tuple[Lesson, list[Example]]:
    """The lesson with its guide, which learns from the same examples first, and what that has to add to them."""
    settings = world.experiment.guide
    if settings is None or not _asks_guide(world, lesson):
        return lesson, []
    guide = settings.student.open()
    if settings.training is not None:
        told = [_told(example) for example in examples]
        taught = Lesson(objective=Sft(), training=settings.training, seed=derive_seed(world.experiment.seed, SOURCE))
        key = digest([SOURCE, guide.id, told, asdict(taught.training), taught.seed])
        if _summary(world, key, number) is None:
            guide, _ = _fit(world, guide, examples, taught, number, key)
        else:
            guide = settings.student.load(world.ledger.folder / "students" / key)
    wanted = {example.problem_id for example in examples}
    problems = [one for one in [*world.warmup, *_picked(world, number)] if one.id in wanted]
    more = explained(world, settings, guide, problems, number) if settings.samples else []
    return (replace(lesson, guide=shown(guide)) if wants(lesson) else lesson), more


def _picked(world: World, number: int) -> list[Problem]:
    picks = (event for event in world.ledger.events(Kind.PICK) if event.round <= number)
    return [from_json(Problem, event.payload["problem"]) for event in picks]


def _summary(world: World, key: str, number: int) -> Any | None:
    """What is told of a training whose student lies in this run's folder; None where there is none yet."""
    at_hand = world.ledger.has(Kind.TRAINING, key) or _taken_over(world, key)
    return world.known(Kind.TRAINING, key, number) if at_hand else None


def _taken_over(world: World, key: str) -> bool:
    """Whether this run's folder has a student that another arm or run has trained; copied, so that it stands alone."""
    mine = world.ledger.folder / "students" / key
    trained = (one.folder / "students" / key for one in world.recalled if one.has(Kind.TRAINING, key))
    theirs = next((folder for folder in trained if folder.is_dir()), None)
    if theirs is None or theirs == mine or mine.is_symlink():  # a replay has links
        return theirs is not None
    half = mine.with_name(f"{key}-half")
    for left in (mine, half):  # of a session that was killed
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(theirs, half)
    half.rename(mine)
    return True


def _fit(
    world: World, start: Student, examples: list[Example], lesson: Lesson, number: int, key: str
) -> tuple[Student, dict[str, Any]]:
    """The student that is trained and written down under `key`, and the summary of its training."""
    folder = world.ledger.folder / "students" / key
    world.check_time()
    folder.mkdir(parents=True, exist_ok=True)
    with world.stage(number, "train", 100) as percent:
        done = 0

        def progress(share: float) -> None:
            nonlocal done
            percent(round(100 * share) - done)
            done = round(100 * share)

        fit = start.fit(examples, lesson, folder=folder, progress=progress)
    summary = {
        "student": fit.student.id,
        "folder": f"students/{key}",
        "examples": len(examples),
        **fit.summary,
        **({"guide": lesson.guide.id} if lesson.guide else {}),
    }
    world.ledger.append(Kind.TRAINING, [(key, summary)], round=number)
    return fit.student, summary


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
        examples=len(world.warmup) + len(_bought(world, only=None, up_to=number)) - world.too_long,
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


def _warmup(world: World) -> list[Example]:
    return [_example(world, problem, f"{problem.rationale}\n{_end(world, problem)}") for problem in world.warmup]


def _end(world: World, problem: Problem) -> str:
    return world.task.conclusion(problem, problem.answer or "")


def _example(world: World, problem: Problem, target: str, source: str = "warmup") -> Example:
    return Example(problem_id=problem.id, messages=world.task.messages(problem), target=target, source=source)


def _bought(world: World, *, only: int | None, up_to: int) -> list[Example]:
    """Examples from all revisions that may be trained on, in the order of the picks, which hold their questions."""
    revised = {
        event.payload["problem_id"]: from_json(Revision, event.payload)
        for event in world.ledger.events(Kind.REVISION)
        if event.round <= up_to and only in (None, event.round)
    }
    return [
        replace(
            _example(world, from_json(Problem, event.payload["problem"]), revision.after, revision.outcome),
            rejected=revision.rejected,
        )
        for event in world.ledger.events(Kind.PICK)
        if (revision := revised.get(event.payload["problem_id"])) and revision.outcome.trainable
        if revision.after is not None
    ]
