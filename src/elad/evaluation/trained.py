"""The student that a run had after a round: where its weights lie, and what it was measured at."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elad.errors import InputError, RunFolderError
from elad.kinds import build
from elad.ledger.events import MAIN, Kind, Ledger
from elad.ledger.sessions import last_session
from elad.records import Round, from_json

if TYPE_CHECKING:
    from elad.students.transformers import Transformers, TransformersStudent

LAST, BEST = "last", "best"
_ENGINES = ("transformers", "vllm")
"""Those that keep weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained student of the main arm."""

    round: Round
    last: int
    """The number of the run's last round."""
    checkpoint: Path
    engine: Any
    """The settings that it was run with, in the numbers it was measured in."""

    @property
    def settings(self) -> "Transformers":
        """Those of the engine that has its weights in this process."""
        return getattr(self.engine, "local", self.engine)

    def load(self) -> "TransformersStudent":
        """The student itself, adapters merged.

        Raises: StudentError where its files are not there any more, or torn; RunFolderError where they are not those
        that were measured.
        """
        student = self.engine.load(self.checkpoint)
        if student.id != self.round.student:
            raise RunFolderError(
                f"{self.checkpoint}: is not the student that round {self.round.round} has measured: its weights, or "
                "those of its base model, are others"
            )
        return student if self.engine is self.settings else self.settings.load(self.checkpoint)


def trained(folder: Path, which: str = LAST) -> Trained:
    """The student after the `last` round, the `best` one by held-out accuracy (of equals the first), or one by number.

    Raises: RunFolderError where no round has ended, or where nothing was learnt up to that one; InputError for an
    unknown round, and for an engine that keeps no weights.
    """
    with Ledger(folder, write=False) as ledger:
        told, mine = last_session(ledger), ledger.of(MAIN)
        rounds = {event.round: from_json(Round, event.payload) for event in mine.events(Kind.ROUND)}
        learnt = {event.payload["student"]: event.payload["folder"] for event in mine.events(Kind.TRAINING)}
    engine = told["experiment"]["student"]["engine"]
    if engine not in _ENGINES:
        raise InputError(f"{folder}: its student.engine, {engine!r}, keeps no weights; {' and '.join(_ENGINES)} do")
    found = _chosen(folder, rounds, which)
    if found.student not in learnt:
        raise RunFolderError(f"{folder}: up to round {found.round} nothing was learnt; its student is the base model")
    settings = build("elad.students", told["experiment"]["student"], "student", tag="engine", base=Path(told["base"]))
    return Trained(
        round=found,
        last=max(rounds),
        checkpoint=folder / learnt[found.student],
        engine=replace(settings, dtype=found.student.rpartition("-")[2]),
    )


def _chosen(folder: Path, rounds: dict[int, Round], which: str) -> Round:
    if not rounds:
        raise RunFolderError(f"{folder}: no round has ended yet")
    if which == LAST:
        return rounds[max(rounds)]
    if which == BEST:
        return max((rounds[number] for number in sorted(rounds)), key=lambda turn: turn.accuracy)
    if not which.isdecimal() or int(which) not in rounds:
        raise InputError(f"--round {which}: expected `last`, `best` or one of {min(rounds)} to {max(rounds)}")
    return rounds[int(which)]
