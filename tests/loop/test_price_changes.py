"""A price list that changes between two sessions of a run."""

from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment

from elad.errors import RunFolderError
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


def test_another_currency_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    dollars, euros = (
        {"kind": "fake", "price": {"input": 1.0, "output": 2.0, "currency": one}} for one in ("USD", "EUR")
    )
    run(experiment("rounds.count=1", teacher=dollars), tmp_path)
    for _ in range(2):
        with pytest.raises(RunFolderError, match=r"USD.*EUR"):
            run(experiment(teacher=euros), tmp_path)
    with Ledger(tmp_path, write=False) as ledger:
        assert {event.round for event in ledger.events(Kind.REQUEST)} == {1}
    run(experiment(teacher=dollars), tmp_path)


def test_a_run_that_asked_nothing_yet_may_change_its_currency(tmp_path: Path) -> None:
    for currency in ("USD", "EUR"):
        teacher = {"kind": "fake", "price": {"input": 1.0, "output": 2.0, "currency": currency}}
        run(experiment(f"budget.questions={0 if currency == 'USD' else 3}", teacher=teacher), tmp_path)
    with Ledger(tmp_path, write=False) as ledger:
        assert ledger.spent().currency == "EUR"
