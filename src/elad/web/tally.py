"""Sums over a ledger that grows: kept, not counted anew at each look."""

from collections import Counter
from dataclasses import dataclass, field

from elad.ledger.events import OF_PEOPLE, Event, Kind
from elad.records import Charge, Reply, from_json


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the events so far come to."""

    counts: Counter[tuple[str, int, Kind]] = field(default_factory=Counter[tuple[str, int, Kind]])
    """How many there are by arm, round and kind."""
    spent: Charge = field(default_factory=Charge)
    seconds: float = 0.0
    """Of working time, as `Ledger.elapsed_seconds` counts it."""
    _at: float | None = None

    def add(self, event: Event) -> None:
        """Takes in the next event."""
        self.counts[event.arm, event.round, event.kind] += 1
        if event.kind in OF_PEOPLE:
            return
        if self._at is not None and event.kind is not Kind.SESSION:
            self.seconds += max(0.0, event.at - self._at)
        self._at = event.at
        if event.kind in (Kind.REPLY, Kind.LOST):
            self.spent += from_json(Reply, event.payload).charge
