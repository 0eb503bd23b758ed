"""A whole experiment with a guide, on fakes: a better scripted student that learns first and explains once more."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from loop_kit import experiment

from elad.experiment import Experiment
from elad.ledger.events import Event, Kind, Ledger
from elad.progress import Silent
from elad.protocols import Fit
from elad.records import Example
from elad.students.fake import FakeStudent

MENTOR_SEED = 5
MENTOR: dict[str, Any] = {"engine": "fake", "skill": 0.6, "seed": MENTOR_SEED}
GUIDE: dict[str, Any] = {"student": MENTOR, "training": {"epochs": 7}, "samples": 3}
UNRELIABLE = {"kind": "fake", "faults": {"refused": 0.5}}
"""Of what a taught mentor has learnt it repeats each word: only what the teacher left open does it explain anew."""


class Notes(Silent):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def guided(*overrides: str, **sections: Any) -> Experiment:
    """Two rounds of eight questions, a mentor beside the student."""
    return experiment(*overrides, **({"guide": GUIDE, "teacher": UNRELIABLE} | sections))


def events(folder: Path, kind: Kind, arm: str | None = None) -> list[Event]:
    with Ledger(folder, write=False) as ledger:
        return list(ledger.of(arm).events(kind))


@contextmanager
def watched() -> Generator[list[tuple[str, list[Example]]]]:
    """Who was taught what, in order: `mentor` or `student`, and the rows."""
    taught: list[tuple[str, list[Example]]] = []
    fit = FakeStudent.fit

    def watching(self: FakeStudent, examples: Sequence[Example], *given: Any, **named: Any) -> Fit:
        taught.append(("mentor" if self.settings.seed == MENTOR_SEED else "student", list(examples)))
        return fit(self, examples, *given, **named)

    with patch.object(FakeStudent, "fit", watching):
        yield taught
