"""Whole runs that buy by the batch: the cap holds, the books add up, and a killed run finds its batch again."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from loop_kit import experiment

from elad import world
from elad.errors import TeacherError
from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.ledger.reconcile import Books, reconcile
from elad.loop import run
from elad.report.status import status
from elad.teachers import batch_api
from elad.testing import BatchPlan, ChaosServer, ChaosTeacher

PRICE = {"input": 1.0, "output": 2.0, "batch_discount": 0.5}


class Killed(BaseException):
    """The process is no more."""


def planned(server: ChaosServer, channel: str, **sections: Any) -> Experiment:
    teacher = {"kind": "openai", "base_url": server.base_url, "model": "m", "price": PRICE, "channel": channel}
    return experiment(teacher=teacher, reviser={"kind": "rewrite", "max_tokens": 64}, **sections)


def books(folder: Path) -> Books:
    with Ledger(folder, write=False) as ledger:
        return reconcile(ledger)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "MOST_PAUSE_SECONDS", 0.0)


@pytest.fixture
def _killed_at_the_second_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [Killed(), None]
    usual = batch_api.BatchApi.get

    def get(api: batch_api.BatchApi, batch_id: str) -> batch_api.Batch:
        if polls and (kill := polls.pop()):
            raise kill
        return usual(api, batch_id)

    monkeypatch.setattr(batch_api.BatchApi, "get", get)


def test_a_run_by_the_batch_costs_half_and_its_books_add_up(tmp_path: Path) -> None:
    plans = [BatchPlan(failing={1: 500}, missing=[2, 3]), BatchPlan(expires_after=1)]
    with ChaosTeacher() as server:
        run(planned(server, "live"), tmp_path / "live")
    with ChaosTeacher(batches=plans) as server:
        run(planned(server, "auto"), tmp_path / "batch")
        found = books(tmp_path / "batch")
        assert found.spent.money == pytest.approx(server.books.money)
        assert 0.4 < found.spent.money / books(tmp_path / "live").spent.money < 0.6
    assert (found.problems, found.open) == ((), ())
    assert (found.replies, found.lost) == (16, 2)


def test_a_charge_at_another_price_than_the_batchs_is_named(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        run(planned(server, "batch"), tmp_path)
    with Ledger(tmp_path, write=True) as ledger:
        (first, *_) = [event for event in ledger.events(Kind.REPLY)]
        wrong = first.payload | {"charge": first.payload["charge"] | {"money": 2 * first.payload["charge"]["money"]}}
        ledger.append(Kind.REPLY, [("another", wrong)], round=1)
    assert any("its tokens cost" in problem for problem in books(tmp_path).problems)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_cap_of_a_run_by_the_batch_holds(tmp_path: Path, share: float) -> None:
    with ChaosTeacher() as server:
        run(planned(server, "batch"), tmp_path / "whole")
        cap = share * books(tmp_path / "whole").spent.money
    with ChaosTeacher() as server:
        run(planned(server, "batch", budget={"money": cap}), tmp_path / "run")
        found = books(tmp_path / "run")
        assert found.spent.money == pytest.approx(server.books.money)
    assert 0 < found.spent.money <= cap
    assert (found.problems, found.open) == ((), ())


@pytest.mark.usefixtures("_killed_at_the_second_poll")
def test_a_killed_run_finds_its_batch_again(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        with pytest.raises(Killed):
            run(planned(server, "batch"), tmp_path)
        assert len(books(tmp_path).open) == 8
        run(planned(server, "batch"), tmp_path)
        found, seen = books(tmp_path), server.books
    assert found.spent.money == pytest.approx(seen.money)
    assert {tally.billed for tally in seen.requests.values()} == {1}
    assert (found.problems, found.open, found.lost) == ((), (), 0)


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.usefixtures("_killed_at_the_second_poll")
def test_a_run_may_go_on_over_another_channel(tmp_path: Path, idempotent: bool) -> None:
    with ChaosTeacher(idempotent=idempotent) as server:
        with pytest.raises(Killed):
            run(planned(server, "batch"), tmp_path)
        for _ in range(9):
            httpx2.get(f"{server.base_url}/batches/batch_000000", trust_env=False)
        run(planned(server, "live").but([f"teacher.idempotent={json.dumps(idempotent)}"]), tmp_path)
        found = books(tmp_path)
        assert {tally.billed for tally in server.books.requests.values()} == {1, 2}
        assert found.spent.money >= server.books.money
    assert (found.problems, found.open, found.lost) == ((), (), 8)


@pytest.mark.usefixtures("_killed_at_the_second_poll")
def test_a_session_that_cannot_begin_is_no_killed_one(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        auto = planned(server, "auto")
        with pytest.raises(Killed):
            run(auto, tmp_path)
    with pytest.raises(TeacherError, match="cannot connect"):
        run(auto, tmp_path)
    told = status(tmp_path)
    assert (told["sessions"], told["state"]) == (2, "failed")
    assert "cannot connect" in told["reason"]
    assert len(books(tmp_path).open) == 8


def test_out_of_time_a_batch_is_left_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    polls = 0
    usual = batch_api.BatchApi.get

    def get(api: batch_api.BatchApi, batch_id: str) -> batch_api.Batch:
        nonlocal polls
        polls += 1
        return usual(api, batch_id)

    monkeypatch.setattr(batch_api.BatchApi, "get", get)
    monkeypatch.setattr(world, "_clock", lambda _: lambda: float(polls >= 3))
    with ChaosTeacher(batches=[BatchPlan(in_progress=9)]) as server:
        rounds = run(planned(server, "batch").but(["budget.seconds=1"]), tmp_path / "run")
        told = status(tmp_path / "run")
        assert (len(rounds), polls) == (1, 3)
        assert (told["state"], told["reason"]) == ("finished", "budget reached: seconds: 1")
        assert books(tmp_path / "run").open != ()
        assert len(run(planned(server, "batch"), tmp_path / "run")) == 3
        found = books(tmp_path / "run")
        assert (found.problems, found.open) == ((), ())
        assert found.spent.money == pytest.approx(server.books.money)
        assert all(tally.billed == 1 for tally in server.books.requests.values())
