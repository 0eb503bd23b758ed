"""Replies that any run of this user has paid for, by what was asked of whom."""

import json
import os
import sqlite3
import time
from pathlib import Path

from elad.errors import RunFolderError
from elad.outcomes import ReplyOutcome
from elad.records import Charge, Reply, Request, digest, from_json, to_json

FILE = "replies-1.sqlite"
_KEPT = frozenset({ReplyOutcome.OK, ReplyOutcome.TRUNCATED, ReplyOutcome.REFUSED})
"""A failure may pass; what the endpoint said in full is worth keeping."""
_BUSY_SECONDS = 10
"""So long another process may keep the file."""
_PAUSE_SECONDS = 0.05


class Cache:
    """One SQLite file for all runs; several processes may use it at once. The first reply to a request stays."""

    def __init__(self, folder: Path, scope: str) -> None:
        """`scope` is within what replies are reused: endpoint and model.

        Raises: RunFolderError when the folder cannot be written or the file is damaged.
        """
        self._scope = scope
        self._path = path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute(f"PRAGMA busy_timeout = {1000 * _BUSY_SECONDS}")
            _share(self._db)
            self._db.execute("PRAGMA synchronous = NORMAL")  # a loss costs money, not truth: the run has its ledger
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, at REAL NOT NULL, reply TEXT NOT NULL)"
            )
        except (OSError, sqlite3.Error) as error:
            raise RunFolderError(f"{path}: cannot be used as a cache of replies: {error}") from error

    def get(self, request: Request) -> Reply | None:
        """An earlier reply, at no charge, with what it cost when it was bought; None where there is none."""
        rows = self._execute("SELECT reply FROM replies WHERE key = ?", (self._key(request),))
        row = next(rows, None)
        if row is None:
            return None
        kept = json.loads(row[0])
        now = {"request": request.key, "charge": to_json(Charge()), "cached": True, "original": kept["charge"]}
        return from_json(Reply, kept | now)

    def put(self, request: Request, reply: Reply) -> None:
        """Keeps a reply that is worth it."""
        if reply.outcome not in _KEPT or reply.cached:
            return
        row = (self._key(request), time.time(), json.dumps(to_json(reply), ensure_ascii=False))
        self._execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?)", row)

    def close(self) -> None:
        """Lets go of the file."""
        self._db.close()

    def _execute(self, query: str, arguments: tuple[object, ...]) -> sqlite3.Cursor:
        try:
            return self._db.execute(query, arguments)
        except sqlite3.Error as error:
            raise RunFolderError(f"{self._path}: {error}; ELAD_CACHE names another folder") from error

    def _key(self, request: Request) -> str:
        asked = [to_json(message) for message in request.messages]
        return digest([
            self._scope, asked, request.schema, to_json(request.sampling), request.seed, request.prompt_version,
        ])  # fmt: skip


def _share(db: sqlite3.Connection) -> None:
    """Lets others read while one writes. Raises: sqlite3.OperationalError where others keep the file too long.

    Of processes that switch a fresh file at the same time SQLite turns one down at once, whatever its busy time-out.
    """
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def cache_folder() -> Path:
    """Where the user's cache is: `ELAD_CACHE`, else the system's place for caches."""
    given = os.environ.get("ELAD_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elad"
