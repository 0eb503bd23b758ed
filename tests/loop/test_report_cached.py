"""Report and card of a run whose replies came from the cache: a teacher with a price is not called one without."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from card_kit import card
from loop_kit import experiment

from elad.ledger.events import FILE
from elad.loop import run
from elad.report.page.markdown import markdown
from elad.report.report import compose, gather
from elad.report.status import status

PRICED: dict[str, Any] = {"kind": "fake", "price": {"input": 1.0, "output": 3.0, "currency": "EUR"}}


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paid")
    run(experiment("rounds.count=1", teacher=PRICED), folder)
    return folder


def from_cache(paid: Path, folder: Path, *currencies: str) -> float:
    """The same run as if each reply had been bought before, in one currency after the other; what they had cost."""
    shutil.copytree(paid, folder)
    had = 0.0
    with sqlite3.connect(folder / FILE) as db:
        replies = db.execute("SELECT seq, payload FROM events WHERE kind = 'reply'").fetchall()
        for place, (seq, payload) in enumerate(replies):
            reply = json.loads(payload)
            had += reply["charge"]["money"]
            original = reply["charge"] | {"currency": currencies[place % len(currencies)]}
            told = json.dumps(reply | {"cached": True, "original": original, "charge": {}})
            db.execute("UPDATE events SET payload = ? WHERE seq = ?", (told, seq))
        db.execute("DELETE FROM events WHERE kind = 'request'")
        free = "json_set(payload, '$.charge', json('{}'))"
        db.execute(f"UPDATE events SET payload = {free} WHERE kind IN ('revision', 'round')")
    return had


def test_all_replies_from_the_cache_are_told_with_their_price(paid: Path, tmp_path: Path) -> None:
    had = from_cache(paid, tmp_path / "run", "EUR")
    assert had > 0
    assert status(tmp_path / "run")["spent"]["currency"] == "EUR"
    text = markdown(compose(gather(tmp_path / "run")))
    for told in (text, card(tmp_path / "run")):
        assert "no price" not in told
        assert "0.0000 EUR" in told
        assert f"had cost {had:.4f} EUR" in told
        assert "all replies came from the cache" in told.lower() or "all replies came from a cache" in told.lower()


def test_replies_bought_in_two_currencies_are_summed_apart(paid: Path, tmp_path: Path) -> None:
    had = from_cache(paid, tmp_path / "run", "EUR", "USD")
    told = gather(tmp_path / "run")["spending"]["cached"]["had_cost"]
    assert set(told["money"]) == {"EUR", "USD"}
    assert sum(told["money"].values()) == pytest.approx(had)
    for text in (markdown(compose(gather(tmp_path / "run"))), card(tmp_path / "run")):
        assert f"{told['money']['EUR']:.4f} EUR and {told['money']['USD']:.4f} USD" in text


def test_a_teacher_without_a_price_has_none(tmp_path: Path) -> None:
    run(experiment("rounds.count=1"), tmp_path)
    assert status(tmp_path)["spent"]["currency"] is None
    for text in (markdown(compose(gather(tmp_path))), card(tmp_path)):
        assert "teacher has no price" in text or "teacher had no price" in text
