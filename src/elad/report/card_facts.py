"""What the card of a student is made from: all that the ledger of its run and the models' names tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elad.evaluation.trained import Trained
from elad.ledger.course import measured
from elad.ledger.events import MAIN, Ledger
from elad.ledger.reconcile import Books, reconcile
from elad.ledger.sessions import last_session
from elad.report import known
from elad.report.parts.spending import spared
from elad.report.reviews import reviews
from elad.report.status import status


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a release holds besides its card."""

    adapter: bool
    """The adapters alone, not all weights."""
    gguf: str | None
    """The name of the GGUF file."""
    place: str
    """The name of its folder."""
    chosen: str
    """The word that its round was asked for by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the card is made from."""

    told: dict[str, Any]
    """The status of the run."""
    begun: dict[str, Any]
    """Its last session."""
    books: Books
    cached: dict[str, Any]
    """Replies that came from the cache, and what they had cost."""
    reviews: dict[str, Any]
    """What people made of the revisions, as counts."""
    teacher: tuple[str, str]
    sources: Sequence[known.Source]
    heldout: int
    base: known.Base
    student: Trained
    form: Form

    @property
    def experiment(self) -> dict[str, Any]:
        return self.begun["experiment"]

    @property
    def row(self) -> dict[str, Any]:
        """The round of the student, as the status tells it."""
        return next(row for row in self.told["rounds"] if row["round"] == self.student.round.round)

    @property
    def heard(self) -> dict[str, Any] | None:
        """The reviews that its round went by, as counts; None where there were none."""
        return next((one for one in self.reviews["heard"] if one["round"] == self.student.round.round), None)

    @property
    def first(self) -> dict[str, Any]:
        """The round before anything was bought."""
        return self.told["rounds"][0]


def gather(run: Path, student: Trained, form: Form) -> Facts:
    """The facts of a run and one of its students. Raises: RunFolderError without a ledger."""
    with Ledger(run, write=False) as ledger:
        begun = last_session(ledger)
        return Facts(
            told=status(run),
            begun=begun,
            books=reconcile(ledger),
            cached=spared(ledger),
            reviews=reviews(ledger),
            teacher=known.teacher(ledger),
            sources=known.sources(ledger, begun),
            heldout=len(measured(ledger.of(MAIN))[-1].right),
            base=known.base_model(student.settings.model),
            student=student,
            form=form,
        )
