"""A price list that changes between two sessions of a run."""

from pathlib import Path
from typing import Any

from loop_kit import experiment

from elad.ledger.events import Kind, Ledger
from elad.ledger.prices import Price
from elad.loop import run


def test_each_reply_keeps_the_version_of_the_price_that_it_was_bought_at(tmp_path: Path) -> None:
    was, now = {"input": 1.0, "output": 2.0, "source": "list 1"}, {"input": 3.0, "output": 2.0, "source": "list 2"}
    versions: list[str] = []
    for count, price in enumerate((was, now), start=1):
        run(experiment(f"rounds.count={count}", teacher={"kind": "fake", "price": price}), tmp_path)
        versions.append(Price(**price).version)
    with Ledger(tmp_path, write=False) as ledger:
        replies: list[tuple[int, Any]] = [(event.round, event.payload) for event in ledger.events(Kind.REPLY)]
        spent = ledger.spent()
    assert {(number, reply["charge"]["price_version"]) for number, reply in replies} == set(
        enumerate(versions, start=1)
    )
    assert spent.price_version == "; ".join(sorted(versions))
