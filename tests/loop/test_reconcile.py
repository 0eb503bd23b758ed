"""The books of a run: clean after every kind of run, and each kind of damage is named."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment
from typer.testing import CliRunner

from elad.cli import app
from elad.ledger.events import FILE, Kind, Ledger
from elad.ledger.prices import Price
from elad.ledger.reconcile import Books, reconcile
from elad.loop import run
from elad.outcomes import ReplyOutcome
from elad.records import Charge, Reply, to_json

PRICE: dict[str, Any] = {"input": 1.0, "output": 3.0}
PRICED = {"kind": "fake", "price": PRICE, "faults": {"truncated": 0.1, "refused": 0.1}}


def books(folder: Path) -> Books:
    with Ledger(folder, write=False) as ledger:
        return reconcile(ledger)


@pytest.mark.parametrize("caps", [{}, {"money": 0.0015}, {"calls": 7}, {"tokens": 900}, {"questions": 5}])
def test_the_books_of_a_run_add_up(tmp_path: Path, caps: dict[str, Any]) -> None:
    run(experiment(teacher=PRICED, budget=caps), tmp_path)
    found = books(tmp_path)
    assert found.problems == ()
    assert found.open == ()
    assert found.requests == found.replies > 0
    assert found.spent.money > 0


@pytest.mark.parametrize(
    ("money", "version", "said"),
    [
        (0.5, "known", "its tokens cost"),
        (0.0, "another", "which no session"),
        (0.004, "known", None),
        (0.5, None, "without a price"),
        (0.0, None, None),
    ],
)
def test_what_was_lost_is_priced_too(tmp_path: Path, money: float, version: str | None, said: str | None) -> None:
    run(experiment("rounds.count=1", teacher=PRICED), tmp_path)
    told = Price(**PRICE).version if version == "known" else version
    charge = Charge(calls=1, tokens_in=1000, tokens_out=1000, money=money, currency="USD", price_version=told)
    lost = Reply(request="k", text="", outcome=ReplyOutcome.LOST, charge=charge, teacher="t")
    with Ledger(tmp_path, write=True) as ledger:
        ledger.append(Kind.REQUEST, [("k#0", {"reserved": to_json(charge)})], round=1)
        ledger.append(Kind.LOST, [("k#0", to_json(lost))], round=1)
    found = [problem for problem in books(tmp_path).problems if problem.startswith("lost k#0")]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


@pytest.mark.parametrize("field", ["tokens_in", "tokens_out"])
@pytest.mark.parametrize(
    ("outcome", "estimated", "named"),
    [
        (ReplyOutcome.LOST, True, True),
        (ReplyOutcome.LOST, False, True),
        (ReplyOutcome.FAILED, False, True),
        (ReplyOutcome.OK, True, True),
        (ReplyOutcome.OK, False, False),
    ],
)
def test_only_what_the_endpoint_itself_reported_may_exceed_its_reservation(
    tmp_path: Path, outcome: ReplyOutcome, estimated: bool, named: bool, field: str
) -> None:
    reserved = Charge(calls=1, tokens_in=10, tokens_out=20)
    for more in (0, 1):
        folder = tmp_path / str(more)
        cost = replace(reserved, estimated=estimated, **{field: getattr(reserved, field) + more})
        reply = Reply(request="k", text="", outcome=outcome, charge=cost, teacher="t")
        kind, key = (Kind.LOST, "k#0") if outcome is ReplyOutcome.LOST else (Kind.REPLY, "k")
        with Ledger(folder, write=True) as ledger:
            ledger.append(Kind.REQUEST, [("k#0", {"reserved": to_json(reserved)})], round=1)
            ledger.append(kind, [(key, to_json(reply))], round=1)
        found = [problem for problem in books(folder).problems if "reserved" in problem]
        assert len(found) == (more and named)


def change(field: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda payload: payload | {field: value}


def charge(field: str, amount: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda payload: payload | {"charge": payload["charge"] | {field: payload["charge"][field] + amount}}


@pytest.mark.parametrize(
    ("kind", "damage", "said"),
    [
        ("reply", None, "rests on reply"),
        ("request", None, "0 open requests lead to it"),
        ("reply", charge("tokens_out", 1), "its tokens cost"),
        ("reply", charge("money", 0.01), "its tokens cost"),
        ("revision", charge("tokens_in", 5), "its replies cost"),
        ("revision", change("requests", ["nowhere"]), "rests on reply nowhere"),
    ],
)
def test_damage_is_named(
    tmp_path: Path, kind: str, damage: Callable[[dict[str, Any]], dict[str, Any]] | None, said: str
) -> None:
    run(experiment("rounds.count=1", teacher=PRICED), tmp_path)
    with sqlite3.connect(tmp_path / FILE) as db:
        seq, payload = db.execute("SELECT seq, payload FROM events WHERE kind = ? LIMIT 1", (kind,)).fetchone()
        if damage is None:
            db.execute("DELETE FROM events WHERE seq = ?", (seq,))
        else:
            changed = json.dumps(damage(json.loads(payload)))
            db.execute("UPDATE events SET payload = ? WHERE seq = ?", (changed, seq))
    db.close()
    assert any(said in problem for problem in books(tmp_path).problems)
    result = CliRunner().invoke(app, ["ledger", str(tmp_path), "--check"])
    assert result.exit_code != 0
    assert CliRunner().invoke(app, ["ledger", str(tmp_path)]).exit_code == 0
