"""A run of an earlier version is gone on with: what it did has the keys that it would have now."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from guide_kit import events, watched
from loop_kit import experiment, history

from elad.ledger.events import FILE, Kind, Ledger
from elad.loop import run
from elad.records import digest

ADDED: dict[Kind, tuple[str, ...]] = {Kind.SESSION: ("feed", "guide", "edited_weight"), Kind.REVISION: ("rejected",)}
"""What came with feeds and guides, by the kind of event."""


def test_without_feed_or_guide_the_keys_are_those_from_before_there_were_any(tmp_path: Path) -> None:
    """As this very experiment had them at commit 05e54db."""
    run(experiment(), tmp_path)
    trained = ["e9af5f2ee851204a", "8b1ce3ee36986636", "b5f8c896d010bb7b"]
    assert [event.key for event in events(tmp_path, Kind.TRAINING)] == trained
    rounds = ["f62a22897fc6c1d3", "c1aaee066dd2bfb0", "1b5a1d957bc60843"]
    assert [event.key for event in events(tmp_path, Kind.ROUND)] == rounds
    with Ledger(tmp_path, write=False) as ledger:
        assert digest(json.loads(ledger.meta("identity") or "")) == "0008666ca34e3a76"


def aged(kind: Kind, payload: dict[str, Any]) -> dict[str, Any]:
    """What an earlier version would have written."""
    inside = payload["experiment"] if kind is Kind.SESSION else payload
    for name in ADDED.get(kind, ()):
        assert inside.pop(name, None) is None
    return payload


def test_a_ledger_from_before_them_is_gone_on_with(tmp_path: Path) -> None:
    run(experiment(), tmp_path)
    whole = history(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as db:
        for seq, kind, payload in db.execute("SELECT seq, kind, payload FROM events").fetchall():
            then = json.dumps(aged(Kind(kind), json.loads(payload)))
            db.execute("UPDATE events SET payload = ? WHERE seq = ?", (then, seq))
    db.close()
    before = history(tmp_path)
    assert before != whole
    with watched() as taught:
        run(experiment(), tmp_path)
        assert taught == []
        assert history(tmp_path) == before
        run(experiment("rounds.count=3"), tmp_path)
    assert [who for who, _ in taught] == ["student"]
    assert history(tmp_path).items() > before.items()
