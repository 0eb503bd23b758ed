"""What a run's sessions were begun with, and who answered them."""

from typing import Any

from elad.errors import RunFolderError
from elad.ledger.events import Kind, Ledger


def last_session(ledger: Ledger) -> dict[str, Any]:
    """What the last session of a run was begun with: `experiment`, `base`, `versions`, `machine`.

    Raises: RunFolderError where there is none.
    """
    found = [event.payload for event in ledger.events(Kind.SESSION)]
    if not found:
        raise RunFolderError(f"{ledger.folder}: holds no session")
    return found[-1]


def teacher_of(ledger: Ledger) -> str | None:
    """The id of who was asked: kind and model; None where nobody has answered."""
    first = next(ledger.events(Kind.REPLY), None)
    return None if first is None else first.payload["teacher"]
