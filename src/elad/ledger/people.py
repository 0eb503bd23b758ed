"""What people say of a run: reviews of its revisions, and answers to its requests; appended beside the run.

A run holds its folder for itself, for hours, and people are not to wait for its end. So these events are appended
without the folder's lock, under SQLite's own, which a run takes for each of its appends too and waits for. They
change nothing that a run has written, and a run looks at them where it chooses to.

The n-th event of a revision has the key of the revision, `#` and n, and keys are unique: of two people who decide
on the same state, one comes first, and the other is told.
"""

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elad.errors import RunFolderError
from elad.ledger.events import FILE, MAIN, Event, Kind, Ledger
from elad.outcomes import Decision, RevisionOutcome
from elad.records import Revision, from_json, to_json

_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a reviewer made of one revision."""

    revision: str
    """The key of the revision in the ledger."""
    problem_id: str
    decision: Decision
    reviewer: str
    after: str | None = None
    """Of an edit, the chain to learn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person answered to a request of the teacher `human`."""

    text: str
    """In the form that is asked for, as a model would have written it."""
    reviewer: str
    seconds: float
    """From when it was asked."""


def write_review(folder: Path, review: Review, *, seen: int, number: int) -> bool:
    """Appends a review by someone who saw `seen` events of its revision; False, and nothing, where there are more.

    `number` is the round of the revision. Raises: RunFolderError when it cannot be written.
    """
    return _append(folder, Kind.REVIEW, f"{review.revision}#{seen}", to_json(review), number)


def write_answer(folder: Path, request: str, answer: Answer, *, number: int) -> bool:
    """Appends the answer to the request of this key; False, and nothing, where it has one.

    `number` is the round that asks. Raises: RunFolderError when it cannot be written.
    """
    return _append(folder, Kind.ANSWER, request, to_json(answer), number)


def _append(folder: Path, kind: Kind, key: str, payload: Any, number: int) -> bool:
    row = (time.time(), number, MAIN, kind, key, json.dumps(payload, ensure_ascii=False))
    try:
        db = sqlite3.connect(
            f"{(folder / FILE).resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_WAIT_SECONDS
        )
        try:
            db.execute("PRAGMA synchronous = FULL")  # one person's word at a time: it may wait for the disk
            db.execute("INSERT INTO events (at, round, arm, kind, key, payload) VALUES (?, ?, ?, ?, ?, ?)", row)
        finally:
            db.close()
    except sqlite3.IntegrityError:
        return False
    except sqlite3.Error as error:
        raise RunFolderError(f"{folder / FILE}: cannot be written: {error}") from error
    return True


def standing(ledger: Ledger) -> dict[str, Review]:
    """The review that stands of each revision that has one, by the revision's key; undone ones left out."""
    said: dict[str, list[Review]] = {}
    for event in ledger.of(None).events(Kind.REVIEW):
        review = from_json(Review, event.payload)
        said.setdefault(review.revision, []).append(review)
    return {key: review for key, all_ in said.items() if (review := last_standing(all_))}


def last_standing(reviews: Iterable[Review]) -> Review | None:
    """The decision that stands after all of one revision's reviews, in their order; an undo takes one back."""
    stood: list[Review] = []
    for review in reviews:
        if review.decision is not Decision.UNDO:
            stood.append(review)
        elif stood:
            stood.pop()
    return stood[-1] if stood else None


def reviewed(revision: Revision, review: Review | None) -> Revision | None:
    """The revision as its review leaves it: none where it is rejected, the reviewer's own chain where it is edited.

    The teacher's verdicts and its edit are about another chain than the one that an editor has come to, and left out.
    """
    if review is None or review.decision is Decision.ACCEPT:
        return revision
    if review.decision is Decision.REJECT:
        return None
    return replace(
        revision, outcome=RevisionOutcome.EDITED, after=review.after, verdicts=(), first_error=None, edit=None
    )


def review_of(event: Event) -> Review:
    """The review that an event holds."""
    return from_json(Review, event.payload)
