"""Ledgers of earlier versions, brought up to date: one step for each version, in one transaction."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

SCHEMA_VERSION = 4
EVENTS = """CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    round INTEGER NOT NULL,
    arm TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    payload TEXT NOT NULL,
    UNIQUE (kind, key, arm)
)"""
"""The table of this version."""


def migrate(db: sqlite3.Connection, version: int) -> None:
    """From `version` to `SCHEMA_VERSION`. Raises: KeyError for a version that no step starts from."""
    steps = [_STEPS[step] for step in range(version, SCHEMA_VERSION)]
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            step(db)
        db.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (str(SCHEMA_VERSION),))
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _from_1(db: sqlite3.Connection) -> None:
    """Requests carry their try and their reservation; rounds an interval for each figure."""
    for seq, key, payload in db.execute("SELECT seq, key, payload FROM events WHERE kind = 'request'").fetchall():
        wrapped = json.dumps({"request": json.loads(payload), "reserved": {"calls": 1}}, ensure_ascii=False)
        db.execute("UPDATE events SET key = ?, payload = ? WHERE seq = ?", (f"{key}#0", wrapped, seq))
    for seq, payload in db.execute("SELECT seq, payload FROM events WHERE kind = 'round'").fetchall():
        told: dict[str, Any] = json.loads(payload)
        if "interval" in told:
            told["intervals"] = {"accuracy": told.pop("interval")}
        db.execute("UPDATE events SET payload = ? WHERE seq = ?", (json.dumps(told), seq))


def _from_2(db: sqlite3.Connection) -> None:
    """Events name their arm, and two arms may have an event of the same key."""
    db.execute("ALTER TABLE events RENAME TO events_2")
    db.execute(EVENTS)
    db.execute("INSERT INTO events SELECT seq, at, round, 'main', kind, key, payload FROM events_2 ORDER BY seq")
    db.execute("DROP TABLE events_2")


def _from_3(db: sqlite3.Connection) -> None:
    """People's reviews and answers may be among the events; an elad that does not know them must not read on."""


_STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _from_1, 2: _from_2, 3: _from_3}
