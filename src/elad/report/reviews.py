"""What people made of the revisions of a run, as counts: by now, and by when each round learnt."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from elad.ledger.events import Kind, Ledger
from elad.ledger.people import Review, standing
from elad.outcomes import Decision
from elad.records import from_json
from elad.report.page.wording import count

_WORDS = {Decision.ACCEPT: "accepted", Decision.EDIT: "edited", Decision.REJECT: "rejected"}


def reviews(ledger: Ledger) -> dict[str, Any]:
    """The decisions that stand, and under `heard` those that each round went by; rounds that went by none left out."""
    heard = {event.round: event.payload.values() for event in ledger.of(None).events(Kind.HEARD)}
    return _counts(standing(ledger).values()) | {
        "heard": [
            {"round": number, **_counts(from_json(Review, told) for told in stood)}
            for number, stood in sorted(heard.items())
        ]
    }


def _counts(stood: Iterable[Review]) -> dict[str, Any]:
    stood = list(stood)
    decided = Counter(review.decision for review in stood)
    return {decision.value: decided[decision] for decision in _WORDS} | {
        "people": len({review.reviewer for review in stood})
    }


def words(counts: Mapping[str, Any]) -> str:
    """The decisions and how many people they are of.

    >>> words({"accept": 2, "edit": 0, "reject": 1, "people": 1})
    '2 accepted, 1 rejected by 1 person'
    """
    decided = ", ".join(f"{counts[decision]:,} {word}" for decision, word in _WORDS.items() if counts[decision])
    return f"{decided} by {count(counts['people'], 'person', 'people')}" if decided else "none"


def line(found: Mapping[str, Any]) -> str:
    """What stands, and what the last round that knew of any went by."""
    if found["heard"]:
        last = found["heard"][-1]
        return f"{words(found)}; round {last['round']} learnt by {words(last)}"
    return f"{words(found)}; no round has learnt by them yet" if found["people"] else words(found)
