"""What several parts of the report go by: drafts with their scores, and what was bought, in a few bytes each.

Texts are not held; the few that are shown are read again by their keys.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from elad.errors import RunFolderError
from elad.kinds import build, describe
from elad.ledger.events import CONTROL, MAIN, Event, Kind, Ledger
from elad.ledger.people import Review, standing
from elad.outcomes import ParseOutcome, Verdict
from elad.protocols import Gradual
from elad.records import Candidate, Chain, Problem, Revision, StepScores, digest, from_json

_MOST_CHARS = 200
"""Of a question or an id, as it is held here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the student wrote to a question, without its text."""

    round: int
    key: str
    outcome: str
    answered: bool
    steps: int
    tokens: int
    surprise: float | None
    """In nats a token; None where it is not told, or no number."""
    score_key: str | None
    score: float | None
    """The question's score; None where it was not scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """A question that was picked, and what came of it, without its texts."""

    problem_id: str
    question: str
    """Its beginning."""
    gold: bool
    """Whether it has a gold answer."""
    arm: str
    round: int
    rank: int
    by: str | None
    score: float | None
    outcome: str | None
    """None where the revision is not finished."""
    first_error: int | None
    judged: int
    """Steps with a verdict."""
    charge: Mapping[str, Any]
    """Of its revision: nothing where that is not finished."""
    pick_key: str
    revision_key: str | None
    draft: Draft | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A run, read once."""

    ledger: Ledger
    settings: Mapping[str, Any]
    """The resolved experiment of the last session."""
    sessions: Sequence[Event]
    drafts: Mapping[str, Sequence[Draft]]
    """Of the main arm, by question, in order."""
    bought: Sequence[Bought]
    """Of all arms, in the order of their picks."""
    reviews: Mapping[str, Review]
    """Those that stand, by the key of their revision."""

    def of(self, arm: str) -> list[Bought]:
        """What one arm picked."""
        return [one for one in self.bought if one.arm == arm]

    def candidate(self, one: Bought) -> Candidate | None:
        """What the reviser looked at, with its texts; None where its draft is not in the ledger."""
        if one.draft is None:
            return None
        ledger = self.ledger.of(one.arm)
        scores = payload(ledger, Kind.SCORE, one.draft.score_key) if one.draft.score_key else None
        return Candidate(
            problem=from_json(Problem, payload(ledger, Kind.PICK, one.pick_key)["problem"]),
            chain=from_json(Chain, payload(ledger, Kind.DRAFT, one.draft.key)),
            scores=None if scores is None else from_json(StepScores, scores),
        )

    def revision(self, one: Bought) -> Revision | None:
        """What the teacher made of it; None where that is not finished."""
        if one.revision_key is None:
            return None
        return from_json(Revision, payload(self.ledger.of(one.arm), Kind.REVISION, one.revision_key))


def read(ledger: Ledger) -> Material:
    """The material of an opened run. Raises: RunFolderError where no session was begun in the folder."""
    sessions = list(ledger.events(Kind.SESSION))
    if not sessions:
        raise RunFolderError(f"{ledger.folder}: holds no session")
    settings = sessions[-1].payload["experiment"]
    drafts = {arm: _drafts(ledger.of(arm), settings) for arm in (MAIN, CONTROL)}
    bought = [one for arm in (MAIN, CONTROL) for one in _bought(ledger.of(arm), drafts[arm])]
    return Material(
        ledger=ledger,
        settings=settings,
        sessions=sessions,
        drafts=drafts[MAIN],
        bought=bought,
        reviews=standing(ledger),
    )


def payload(ledger: Ledger, kind: Kind, key: str) -> Any:
    """What an event that was seen before tells. Raises: RunFolderError where it is not there."""
    found = ledger.get(kind, key)
    if found is None:
        raise RunFolderError(f"{ledger.folder}: the ledger holds no {kind} {key}")
    return found


def at_round(drafts: Sequence[Draft], number: int) -> Draft | None:
    """The draft that a round saw. A student that a round left as it was does not draft again: its last one holds."""
    return next((draft for draft in reversed(drafts) if draft.round <= number), None)


def _drafts(ledger: Ledger, settings: Mapping[str, Any]) -> dict[str, list[Draft]]:
    scores = {event.key: float(event.payload["aggregate"]) for event in ledger.events(Kind.SCORE)}
    measures = list(_measures(settings)) if scores else []
    found: dict[str, list[Draft]] = {}
    for event in ledger.events(Kind.DRAFT):
        draft = event.payload
        keys = (digest([event.key, measure]) for measure in measures)
        key = next((key for key in keys if key in scores), None)
        surprise = draft.get("surprise")
        made = Draft(
            round=event.round,
            key=event.key,
            outcome=draft["outcome"],
            answered=draft["answer"] is not None,
            steps=len(draft["steps"]),
            tokens=draft["tokens"],
            surprise=surprise if surprise is not None and isfinite(surprise) else None,
            score_key=key,
            score=scores[key] if key else None,
        )
        if made.outcome != ParseOutcome.TOO_LONG:
            found.setdefault(draft["problem_id"], []).append(made)
    return found


def _measures(settings: Mapping[str, Any]) -> Iterator[Any]:
    """The settings that scores are keyed by: those of all samples, then those of the first few."""
    yield settings["uncertainty"]
    few = settings["adaptive"]["few"] if "adaptive" in settings else None
    if few is not None:
        measure = build("elad.uncertainty", settings["uncertainty"], "uncertainty")
        if isinstance(measure, Gradual):
            yield describe(measure.few(few))


def _bought(ledger: Ledger, drafts: Mapping[str, Sequence[Draft]]) -> Iterator[Bought]:
    revised = {event.payload["problem_id"]: event for event in ledger.events(Kind.REVISION)}
    for event in ledger.events(Kind.PICK):
        pick, problem = event.payload, event.payload["problem"]
        revision = revised.get(problem["id"])
        made: Mapping[str, Any] = revision.payload if revision else {}
        verdicts = made.get("verdicts", ())
        yield Bought(
            problem_id=problem["id"],
            question=problem["question"][:_MOST_CHARS],
            gold=problem["answer"] is not None,
            arm=event.arm,
            round=event.round,
            rank=pick["rank"],
            by=pick.get("by"),
            score=pick["aggregate"],
            outcome=made.get("outcome"),
            first_error=made.get("first_error"),
            judged=sum(verdict != Verdict.UNJUDGED for verdict in verdicts),
            charge=made.get("charge", {}),
            pick_key=event.key,
            revision_key=revision.key if revision else None,
            draft=at_round(drafts.get(problem["id"], ()), event.round),
        )
