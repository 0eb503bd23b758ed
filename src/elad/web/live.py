"""Where a run is now: from the ledger alone, so that it is the same for a run in another process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elad.ledger.events import MAIN, Kind
from elad.records import Charge, Round, from_json
from elad.web.desk import Desk
from elad.web.sources import HELDOUT, POOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of the round under way: what is done, of how many; None where that is not known before it is."""

    name: str
    done: int
    of: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The state of a run."""

    state: str
    reason: str
    round: int
    of_rounds: int
    steps: Sequence[Step]
    rounds: Sequence[Round]
    """Of the main arm, measured so far."""
    spent: Charge
    budget: Mapping[str, Any]
    questions: int
    """Bought so far, by all arms."""
    seconds: float
    """Working time so far."""


def now(desk: Desk) -> Now:
    """The state of the run at the desk; what was appended since the last look is taken in first."""
    desk.refresh()
    tally, state = desk.index.tally, desk.state()
    rounds = {event.round: from_json(Round, event.payload) for event in desk.ledger.of(MAIN).events(Kind.ROUND)}
    number = max((round for arm, round, _ in tally.counts if arm == MAIN), default=0)
    bought = sum(count for (_, _, kind), count in tally.counts.items() if kind is Kind.REVISION)
    return Now(
        state=state[0],
        reason=state[1],
        round=max(number, 0),
        of_rounds=desk.settings["rounds"]["count"],
        steps=_steps(desk, max(number, 0)),
        rounds=[rounds[key] for key in sorted(rounds)],
        spent=tally.spent,
        budget={name: cap for name, cap in desk.settings["budget"].items() if cap is not None},
        questions=bought,
        seconds=tally.seconds,
    )


def _steps(desk: Desk, number: int) -> list[Step]:
    counts, pool, heldout = desk.index.tally.counts, len(desk.sources.of(POOL)), len(desk.sources.of(HELDOUT))

    def of(kind: Kind) -> int:
        return counts[MAIN, number, kind]

    before = sum(n for (arm, round, kind), n in counts.items() if arm == MAIN and kind is Kind.PICK and round < number)
    steps = [
        Step(name="trained", done=of(Kind.TRAINING), of=None),
        Step(name="graded", done=of(Kind.GRADE), of=heldout),
    ]
    if number == 0:
        return steps
    return [
        Step(name="drafted", done=of(Kind.DRAFT), of=pool - before if pool else None),
        Step(name="scored", done=of(Kind.SCORE), of=None),
        Step(name="picked", done=of(Kind.PICK), of=None),
        Step(name="revised", done=of(Kind.REVISION), of=of(Kind.PICK) or None),
        *steps,
    ]
