"""Fit: a training that is done once, in this run or in one that is recalled, and written down."""

import shutil
from collections.abc import Sequence
from typing import Any

from elad.learning import Lesson
from elad.ledger.events import Kind
from elad.protocols import Student, StudentSettings
from elad.records import Example, to_json
from elad.world import World


def told(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Examples for the key of a training: as before they had more fields, where these say nothing."""
    return [{name: value for name, value in to_json(one).items() if value not in (None, [])} for one in examples]


def summary_of(world: World, key: str, number: int) -> Any | None:
    """What is told of a training whose student lies in this run's folder; None where there is none yet."""
    at_hand = world.ledger.has(Kind.TRAINING, key) or _taken_over(world, key)
    return world.known(Kind.TRAINING, key, number) if at_hand else None


def load(world: World, settings: StudentSettings, key: str) -> Student:
    """The student that was trained under a key."""
    return settings.load(world.ledger.folder / "students" / key)


def fit(  # noqa: PLR0913 - one place for all that is trained
    world: World,
    start: Student,
    examples: Sequence[Example],
    lesson: Lesson,
    *,
    number: int,
    key: str,
    stage: str = "train",
) -> tuple[Student, dict[str, Any]]:
    """The student that is trained and written down under a key, and the summary of its training.

    A training that was begun goes to its end, since half of one cannot be kept.
    Raises: OutOfTime before one that would begin after the cap on seconds.
    """
    folder = world.ledger.folder / "students" / key
    world.check_time()
    folder.mkdir(parents=True, exist_ok=True)
    with world.stage(number, stage, 100) as percent:
        done = 0

        def progress(share: float) -> None:
            nonlocal done
            percent(round(100 * share) - done)
            done = round(100 * share)

        made = start.fit(examples, lesson, folder=folder, progress=progress)
    summary = {
        "student": made.student.id,
        "folder": f"students/{key}",
        "examples": len(examples),
        **made.summary,
        **({"guide": lesson.guide.id} if lesson.guide else {}),
    }
    world.ledger.append(Kind.TRAINING, [(key, summary)], round=number)
    return made.student, summary


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
