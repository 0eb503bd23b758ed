"""A finished run again from its ledger: the same rows, no network; other choices; what is unknown."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from loop_kit import history, problems
from typer.testing import CliRunner

from elad.cli import app
from elad.errors import ConfigError, RunFolderError
from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.ledger.reconcile import reconcile
from elad.loop import run
from elad.records import Round, from_json, to_json
from elad.replay import replay
from elad.report.export import export
from elad.report.rows import SHAPES
from elad.testing import ChaosTeacher


def finished(base: Path, **sections: Any) -> Path:
    """A finished run whose questions are files."""
    for name, part in (("pool", problems(30, 1, "p")), ("heldout", problems(8, 2, "h")), ("warm", problems(4, 3, "w"))):
        lines = (json.dumps({k: v for k, v in to_json(one).items() if v is not None}) for one in part)
        (base / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    raw: dict[str, Any] = {
        "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl", "warmup": "warm.jsonl"},
        "task": "numeric",
        "student": {"engine": "fake"},
        "teacher": {"kind": "fake", "price": {"input": 1.0, "output": 2.0}, "faults": {"refused": 0.1}},
        "uncertainty": {"kind": "elad", "samples": 2},
        "reviser": {"kind": "first_error", "judge": "direct"},
        "rounds": {"count": 2, "questions": 8},
    }
    run(Experiment.of(raw | sections, base=base), base / "run")
    return base / "run"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("source"))


def rows(folder: Path, to: str) -> bytes:
    target = folder / f"rows-{to}.jsonl"
    export(folder, to, target)
    return target.read_bytes()


def test_the_rows_come_out_byte_for_byte_with_the_network_closed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> None:
        raise AssertionError("a replay needs no network")

    monkeypatch.setattr(socket.socket, "connect", closed)
    again = replay(source, tmp_path / "again")
    assert again.unknown == ()
    for to in SHAPES:
        assert rows(tmp_path / "again", to) == rows(source, to)
    assert history(tmp_path / "again") == history(source)


def same_rows(one: Path, other: Path) -> bool:
    return all(rows(one, to) == rows(other, to) for to in SHAPES)


@pytest.mark.parametrize("budget", [{"money": 0.004}, {"calls": 11}, {"tokens_out": 300}, {"questions": 10}])
def test_a_run_that_ended_at_a_cap_comes_out_alike(tmp_path: Path, budget: dict[str, float]) -> None:
    capped = finished(tmp_path, budget=budget, rounds={"count": 4, "questions": 8})
    again = replay(capped, tmp_path / "again")
    assert again.unknown == ()
    assert same_rows(tmp_path / "again", capped)
    assert [turn.picks for turn in again.rounds] == [turn.picks for turn in turns(capped)]
    assert len(again.rounds) < 5


def turns(folder: Path) -> list[Round]:
    with Ledger(folder, write=False) as ledger:
        return [from_json(Round, event.payload) for event in ledger.events(Kind.ROUND)]


def test_a_capped_run_whose_requests_went_out_side_by_side_comes_out_alike(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        teacher = {"kind": "openai", "base_url": server.base_url, "model": "m", "price": {"input": 1.0, "output": 2.0}}
        capped = finished(tmp_path, teacher=teacher, budget={"calls": 11}, rounds={"count": 4, "questions": 8})
    replay(capped, tmp_path / "again")
    assert same_rows(tmp_path / "again", capped)


def test_with_other_choices_what_a_cap_left_out_is_unknown(tmp_path: Path) -> None:
    capped = finished(tmp_path, budget={"calls": 11}, rounds={"count": 4, "questions": 8})
    assert replay(capped, tmp_path / "again", ["selector.kind=random"]).unknown


def test_the_books_of_a_replay_know_the_prices_of_its_source(source: Path, tmp_path: Path) -> None:
    replay(source, tmp_path / "again")
    replay(tmp_path / "again", tmp_path / "third")
    for folder in (tmp_path / "again", tmp_path / "third"):
        with Ledger(folder, write=False) as ledger:
            books = reconcile(ledger)
        assert (books.problems, books.spent.currency) == ((), "USD")


def test_another_selector_uses_what_was_bought_and_lists_what_was_not(source: Path, tmp_path: Path) -> None:
    again = replay(source, tmp_path / "again", ["selector.kind=random"])
    with Ledger(source, write=False) as ledger:
        bought = {event.payload["problem_id"] for event in ledger.events(Kind.PICK)}
    picked = {pick for turn in again.rounds for pick in turn.picks}
    assert picked - bought
    assert picked - bought <= set(again.unknown)
    assert rows(tmp_path / "again", "messages") != rows(source, "messages")


def test_a_replay_cannot_be_made_in_its_own_source(source: Path) -> None:
    with pytest.raises(RunFolderError, match="another folder"):
        replay(source, source)


@pytest.mark.parametrize(
    "override", ["teacher=fake", "teacher.kind=fake", " teacher . kind=fake", "teacher.ends=false"]
)
def test_a_replay_asks_nobody_else(source: Path, tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="teacher"):
        replay(source, tmp_path / "again", ["selector.kind=random", override])
    assert not (tmp_path / "again").exists()


def picks(folder: Path) -> list[Any]:
    with Ledger(folder, write=False) as ledger:
        return [(event.payload["by"], event.payload["problem_id"]) for event in ledger.events(Kind.PICK)]


def test_a_selector_that_learns_learns_the_same_again(tmp_path: Path) -> None:
    arms = ["top", "random", "core_set"]
    learnt = finished(tmp_path, selector={"kind": "bandit", "arms": arms}, rounds={"count": 3, "questions": 8})
    again = replay(learnt, tmp_path / "again")
    assert again.unknown == ()
    assert {by for by, _ in picks(learnt)} == {*arms}
    assert picks(tmp_path / "again") == picks(learnt)
    assert same_rows(tmp_path / "again", learnt)


def test_a_selector_that_learns_goes_by_what_is_known(source: Path, tmp_path: Path) -> None:
    again = replay(source, tmp_path / "again", ["selector={kind: bandit, arms: [top, random]}"])
    assert [len(turn.picks) for turn in again.rounds] == [0, 8, 8]
    assert again.unknown


def scores(folder: Path) -> list[Any]:
    """Those of the first round, each told by its steps."""
    with Ledger(folder, write=False) as ledger:
        return sorted(
            (event.payload for event in ledger.events(Kind.SCORE) if event.round == 1), key=lambda s: s["steps"]
        )


def test_another_aggregate_ranks_by_the_same_steps(source: Path, tmp_path: Path) -> None:
    again = replay(source, tmp_path / "again", ["uncertainty.aggregate=max"])
    before, after = scores(source), scores(tmp_path / "again")
    assert before
    assert [one["steps"] for one in after] == [one["steps"] for one in before]
    assert all(one["aggregate"] == max(one["steps"]) for one in after if one["steps"])
    assert [one["aggregate"] for one in after] != [one["aggregate"] for one in before]
    with Ledger(source, write=False) as ledger:
        bought = {event.payload["problem_id"] for event in ledger.events(Kind.PICK)}
    picked = {pick for turn in again.rounds for pick in turn.picks}
    assert picked & bought
    assert set(again.unknown) == picked - bought


def test_the_verb_tells_what_is_unknown(source: Path, tmp_path: Path) -> None:
    words = ["replay", str(source), "--out", str(tmp_path / "x"), "--set", "selector.kind=random", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["unknown"]
