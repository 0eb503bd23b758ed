"""The chaos teacher's own books: what arrived, what was billed, what was answered."""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from elad.errors import DataError
from elad.testing.faults import Fault


class Entry(StrEnum):
    """What a line of the books tells of one request, which it names by its digest."""

    ARRIVED = "arrived"
    """With `in_service`: how many requests are in service, this one included where it was let in."""
    FAULT = "fault"
    """With `fault`: what will go wrong with it."""
    REFUSED = "refused"
    """With `status`: turned away, and not billed."""
    BILLED = "billed"
    """With `tokens_in`, `tokens_out` and `money`."""
    REPLAYED = "replayed"
    """Its idempotency key was known: the reply is sent again and not billed."""
    ANSWERED = "answered"
    """A chat completion that can be read is handed over whole; noted just before its bytes are sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of all requests of the same content."""

    arrived: int = 0
    billed: int = 0
    answered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """The sums at one moment. A batch's lines are requests too."""

    requests: Mapping[str, Tally] = field(default_factory=dict[str, Tally])
    """By `elad.records.digest` of the request's body; of its text where that is not JSON."""
    arrived: int = 0
    billed: int = 0
    answered: int = 0
    replayed: int = 0
    refused: Mapping[int, int] = field(default_factory=dict[int, int])
    """How many requests were refused with each error status; 429 by faults and by limits alike."""
    faults: Mapping[Fault, int] = field(default_factory=dict[Fault, int])
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    most_in_service: int = 0


class Sums:
    """Entries added up, one by one."""

    def __init__(self) -> None:
        self._counts: Counter[Entry] = Counter()
        self._requests: dict[str, Counter[Entry]] = {}
        self._refused: Counter[int] = Counter()
        self._faults: Counter[Fault] = Counter()
        self._tokens_in = self._tokens_out = self._most_in_service = 0
        self._money = 0.0

    def add(self, entry: Entry, digest: str, facts: Mapping[str, Any]) -> None:
        """Counts one entry."""
        self._counts[entry] += 1
        self._requests.setdefault(digest, Counter())[entry] += 1
        match entry:
            case Entry.ARRIVED:
                self._most_in_service = max(self._most_in_service, facts["in_service"])
            case Entry.FAULT:
                self._faults[Fault(facts["fault"])] += 1
            case Entry.REFUSED:
                self._refused[facts["status"]] += 1
            case Entry.BILLED:
                self._tokens_in += facts["tokens_in"]
                self._tokens_out += facts["tokens_out"]
                self._money += facts["money"]
            case Entry.REPLAYED | Entry.ANSWERED:
                pass

    def books(self) -> Books:
        """A copy that does not change."""
        return Books(
            requests={digest: Tally(**_named(counts)) for digest, counts in self._requests.items()},
            refused=dict(self._refused),
            faults=dict(self._faults),
            tokens_in=self._tokens_in,
            tokens_out=self._tokens_out,
            money=self._money,
            most_in_service=self._most_in_service,
            replayed=self._counts[Entry.REPLAYED],
            **_named(self._counts),
        )


def _named(counts: Counter[Entry]) -> dict[str, int]:
    return {entry.value: counts[entry] for entry in (Entry.ARRIVED, Entry.BILLED, Entry.ANSWERED)}


class Bookkeeper:
    """Takes down entries, in memory and in the log where there is one. May be used from any thread."""

    def __init__(self, log: Path | None) -> None:
        self._sums = Sums()
        self._lock = threading.Lock()
        self._log = _open(log) if log else None

    def note(self, entry: Entry, digest: str, **facts: Any) -> None:
        """Takes down one entry; it is in the log before this returns."""
        with self._lock:
            self._sums.add(entry, digest, facts)
            if self._log and not self._log.closed:
                line = {"at": round(time.time(), 6), "entry": entry, "request": digest, **facts}
                self._log.write(json.dumps(line).encode() + b"\n")

    def books(self) -> Books:
        with self._lock:
            return self._sums.books()

    def close(self) -> None:
        with self._lock:
            if self._log:
                self._log.close()


def _open(path: Path) -> BinaryIO:
    """The log, to be appended to; a last line that another process left unfinished is taken off."""
    if path.exists():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
    return path.open("ab", buffering=0)


def read_log(path: Path) -> Books:
    """The books of a server that has written a log, also while it writes; an unfinished last line is left out.

    Raises: DataError, with file and line, on a line that is no entry; OSError when the file cannot be read.
    """
    sums = Sums()
    finished = path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(finished, start=1):
        try:
            facts = json.loads(line)
            sums.add(Entry(facts["entry"]), facts["request"], facts)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}:{number}: not an entry of a chaos teacher's log ({error!r})") from error
    return sums.books()
