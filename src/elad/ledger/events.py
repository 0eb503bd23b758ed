"""The ledger: one SQLite file a run, append-only events under content-hash keys.

A run is resumed by going through it again: each piece of work asks the ledger first and is done
only when its key is not there. Events that belong together are appended in one transaction, so a
process killed anywhere leaves whole groups or nothing. What is appended outlives the process at once,
and a failure of power a tenth of a second later (`durability`).
"""

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from enum import StrEnum
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from elad.errors import RunFolderError
from elad.ledger.durability import Syncer
from elad.ledger.migrations import EVENTS, SCHEMA_VERSION, migrate
from elad.records import Charge, Reply, Request, digest, from_json

FILE = "ledger.sqlite"
PLAN_FILE = "plan.json"
"""Beside it: what was forecast before anything was spent."""
MAIN, CONTROL = "main", "control"
"""The arms that a run may have."""

_LOOKS, _LOOK_SECONDS = 10, 0.02
"""So often, and so far apart, a writer tries again: longer than anyone looks whether the folder is held."""


class Kind(StrEnum):
    """What an event tells."""

    SESSION = "session"
    """A process took the run up: resolved configuration, versions, machine."""
    DRAFT = "draft"
    COLD = "cold"
    """More than half of a round's drafts have no answer that can be read: how many of how many."""
    PREFILTER = "prefilter"
    """How many drafts of a round get step scores, and how many were sure enough to go without."""
    SCORE = "score"
    EMBEDDING = "embedding"
    PICK = "pick"
    REQUEST = "request"
    """Sent to the teacher, with what is reserved for it; appended before it is sent."""
    REPLY = "reply"
    LOST = "lost"
    """A try that left no reply to keep: lost, cut short by the budget, or failed with the endpoint as a whole."""
    CONTINUATION = "continuation"
    """What a reviser had the student write, such as how it goes on from a repaired step."""
    WEIGHING = "weighing"
    """How likely the student found texts that a reviser had it weigh."""
    CONTRAST = "contrast"
    """Where the guide would have gone on otherwise than the student did."""
    REVISION = "revision"
    CALIBRATION = "calibration"
    """What the verdicts of a round say of the scores; the last one of a round holds."""
    GUIDED = "guided"
    """What a guide explained, and the grade of that."""
    TRAINING = "training"
    GRADE = "grade"
    REVIEW = "review"
    """What a person said of a revision; appended beside the run (`ledger.people`), which may be under way."""
    HEARD = "heard"
    """The reviews that a round, and all that is learnt in it, goes by; none where there were none."""
    ANSWER = "answer"
    """What a person answered to a request; appended beside the run, like a review."""
    STAGE = "stage"
    """A stage was left: its name and the seconds it took; a killed one leaves none."""
    ROUND = "round"
    STATE = "state"
    """A session ended: finished, stopped or failed, with the reason."""


_ASKED = frozenset({Kind.REQUEST, Kind.REPLY, Kind.LOST})
"""What one arm has asked, every arm finds by its key: the teacher is paid once. The arm of the event has paid."""


def reply_key(teacher: str, request: Request) -> str:
    """The key of the reply of a teacher, by its id, to a request."""
    return digest([teacher, request.key])


OF_PEOPLE = frozenset({Kind.REVIEW, Kind.ANSWER})
"""Appended while a run is under way, or long after it: no sign that it was at work."""


class Event(NamedTuple):
    """One row of the ledger; `at` is Unix time in seconds."""

    seq: int
    at: float
    round: int
    kind: Kind
    key: str
    payload: Any
    arm: str = MAIN


_SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
{EVENTS};
INSERT INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}');
"""
_COLUMNS = "seq, at, round, kind, key, payload, arm"
_INSERT = "INSERT INTO events (at, round, arm, kind, key, payload) VALUES (?, ?, ?, ?, ?, ?)"


class Ledger:
    """The events of one run folder. Readers need no lock; there is one writer at a time."""

    def __init__(self, folder: Path, *, write: bool) -> None:
        """Opens `folder/ledger.sqlite`, and makes it when `write`.

        A ledger of an earlier version is brought up to date; a reader does that to a copy in memory.
        Raises: RunFolderError when there is no ledger to read, when another process writes to it,
        or when it is damaged, emptied or of a later version.
        """
        self.folder = folder
        self.arm: str | None = None
        """Whose events are seen here; None sees all, and appends for the main arm."""
        path = folder / FILE
        if not write and not path.is_file():
            raise RunFolderError(f"{folder}: not a run folder (it has no {FILE})")
        self._lock = _Lock(folder) if write else None
        self._syncer: Syncer | None = None
        try:
            if write and not path.exists():
                _create(path)
            _refuse_emptied(path)  # before SQLite sees it, which throws away the log beside an empty file
            self._db = sqlite3.connect(path, isolation_level=None)
            self._prepare(write)
        except RunFolderError:
            self._unlock()
            raise
        except (OSError, sqlite3.Error, KeyError, ValueError) as error:
            self._unlock()
            raise RunFolderError(
                f"{path}: cannot be opened as a ledger: {error}; `sqlite3 {FILE} .recover` shows what can be saved"
            ) from error

    def _prepare(self, write: bool) -> None:
        self._db.execute("PRAGMA busy_timeout = 5000")
        if write:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
        page = self._db.execute("PRAGMA page_size").fetchone()[0]
        whole = (self.folder / FILE).stat().st_size % page == 0  # SQLite fills a torn page up with zeros
        sound = self._db.execute("PRAGMA quick_check(1)").fetchone()[0] if whole else "its last page is torn"
        if sound != "ok":
            raise sqlite3.DatabaseError(f"it is damaged: {sound}")
        version = int(self.meta("schema_version") or 0)
        if version > SCHEMA_VERSION:
            raise RunFolderError(
                f"{self.folder / FILE}: has schema version {version}, this elad knows {SCHEMA_VERSION}; update elad"
            )
        self.version = version
        """That it had on the disk when it was opened."""
        if version < SCHEMA_VERSION:
            if not write:
                copy = sqlite3.connect(":memory:", isolation_level=None)
                self._db.backup(copy)
                self._db.close()
                self._db = copy
            migrate(self._db, version)
        if write:
            self._syncer = Syncer(self.folder / f"{FILE}-wal")

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._syncer:
                self._syncer.close()
        except OSError as failure:
            raise RunFolderError(f"{self.folder / FILE}: may not outlive a failure of power: {failure}") from failure
        finally:
            self._db.close()
            self._unlock()

    def of(self, arm: str | None) -> "Ledger":
        """The same ledger as one arm sees it, or as nobody in particular does; it is open as long as this one is.

        What an arm appends is its own, and it finds what is its own; but requests and replies are found by their key
        whoever asked.
        """
        seen = copy(self)
        seen.arm = arm
        return seen

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Inside the block a reader sees one moment, whatever a run under way appends meanwhile."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def append(
        self,
        kind: Kind,
        items: Iterable[tuple[str, Any]],
        *,
        round: int,
        beside: Iterable[tuple[Kind, str, Any]] = (),
    ) -> None:
        """Appends (key, payload) events of one kind, and those of other kinds that go with them, in one transaction.

        Raises: RunFolderError when they cannot be written (disk full, a key that is there already); then none of
        them is. Also when what was appended earlier could not be synced; then these are there all the same, until
        the system fails.
        """
        now = time.time()
        arm = self.arm or MAIN
        events = chain(((kind, key, value) for key, value in items), beside)
        rows = ((now, round, arm, kind, key, json.dumps(value, ensure_ascii=False)) for kind, key, value in events)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(_INSERT, rows)
            self._db.execute("COMMIT")
            if self._syncer:
                self._syncer.changed()
        except BaseException as error:  # Ctrl-C too: what is told of the end must find no open transaction
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if not isinstance(error, (sqlite3.Error, OSError)):
                raise
            raise RunFolderError(f"{self.folder / FILE}: cannot be written: {error}") from error

    def get(self, kind: Kind, key: str) -> Any | None:
        """The payload of an event, or None when there is no such event."""
        row = self._row("payload", kind, key)
        return json.loads(row[0]) if row else None

    def has(self, kind: Kind, key: str) -> bool:
        """Whether there is such an event."""
        return self._row("1", kind, key) is not None

    def _row(self, column: str, kind: Kind, key: str) -> tuple[Any] | None:
        """A column of an event; of two arms' events of the same key, the first."""
        scoped = self.arm is not None and kind not in _ASKED
        where, arguments = (" AND arm = ?", (kind, key, self.arm)) if scoped else ("", (kind, key))
        query = f"SELECT {column} FROM events WHERE kind = ? AND key = ?{where} ORDER BY seq LIMIT 1"
        return self._db.execute(query, arguments).fetchone()

    def events(self, kind: Kind | None = None, *, after: int = 0) -> Iterator[Event]:
        """Events in the order of their appending, of one kind or of all, whose `seq` lies after the one given."""
        wanted = {column: value for column, value in (("kind", kind), ("arm", self.arm)) if value is not None}
        where = " AND ".join(["seq > ?", *(f"{column} = ?" for column in wanted)])
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY seq", (after, *wanted.values()))
        return map(_event, rows)

    def event(self, seq: int) -> Event:
        """The event of this `seq`, whosever it is. Raises: KeyError where there is none."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM events WHERE seq = ?", (seq,)).fetchone()
        if row is None:
            raise KeyError(seq)
        return _event(row)

    def meta(self, name: str) -> str | None:
        """A named fact about the run, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_meta(self, facts: Mapping[str, str]) -> None:
        """Writes facts about the run that never change afterwards."""
        self._db.executemany("INSERT INTO meta VALUES (?, ?)", list(facts.items()))

    def spent(self, *, as_bought: bool = False) -> Charge:
        """The sum of the charges of all replies, and of what was lost; of an arm, what it has paid for.

        With `as_bought`, replies of the cache count as they did for the run that bought them.
        """
        replies = (from_json(Reply, event.payload) for kind in (Kind.REPLY, Kind.LOST) for event in self.events(kind))
        return sum((reply.bought if as_bought else reply.charge for reply in replies), Charge())

    def last_at(self) -> float:
        """When the newest event of all arms was appended, in Unix seconds; 0 before the first."""
        row = self._db.execute("SELECT at FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        return row[0] if row else 0.0

    def elapsed_seconds(self) -> float:
        """Working time so far, of all arms: between the events of each session, one after the other.

        A clock that was set back in between takes nothing away.
        """
        total, before = 0.0, None
        for at, kind in self._db.execute("SELECT at, kind FROM events ORDER BY seq"):
            if kind in OF_PEOPLE:
                continue
            if before is not None and kind != Kind.SESSION:
                total += max(0.0, at - before)
            before = at
        return total

    def _unlock(self) -> None:
        if self._lock:
            self._lock.release()


def _event(row: tuple[int, float, int, str, str, str, str]) -> Event:
    seq, at, number, name, key, payload, arm = row
    return Event(seq, at, number, Kind(name), key, json.loads(payload), arm)


def _create(path: Path) -> None:
    """A ledger without events, whole under its name or not there: so a file that is empty was emptied.

    Raises: RunFolderError where a ledger was there before: what its write-ahead log holds would be mixed with ours.
    """
    if path.with_name(f"{FILE}-wal").exists():
        raise RunFolderError(
            f"{path}: is gone, its write-ahead log is still there; put it back, or take another folder"
        )
    made = path.with_name(f"{FILE}-new")
    made.unlink(missing_ok=True)  # of a process that was killed here
    db = sqlite3.connect(made, isolation_level=None)
    try:
        db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
    finally:
        db.close()
    made.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name must outlive a failure of power as what is appended does
    finally:
        os.close(folder)


def _refuse_emptied(path: Path) -> None:
    """Raises: RunFolderError for a file of 0 bytes, which no run leaves behind."""
    if path.stat().st_size == 0:
        raise RunFolderError(
            f"{path}: is empty, and what it held is lost, also that it was paid for; "
            "put a copy of it back, or use another folder"
        )


class _Lock:
    """One writer a folder: an advisory lock that the system drops when its process ends."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise RunFolderError(f"{folder}: cannot be written: {error.strerror}") from error
        try:
            self._take()
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise RunFolderError(f"{folder}: in use by {holder}") from error
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()}")
        self._file.flush()

    def _take(self) -> None:
        """Waits out those who only look (`is_held`), not another writer. Raises: OSError when one holds it."""
        for left in reversed(range(_LOOKS)):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not left:
                    raise
                time.sleep(_LOOK_SECONDS)

    def release(self) -> None:
        self._file.close()


def is_held(folder: Path) -> bool:
    """Whether some process is writing to the run folder now. Those who look do not see each other."""
    try:
        with (folder / "lock").open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
