"""A finished run again from its ledger: the same rows, no network; other choices; what is unknown."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from loop_kit import history, problems
from typer.testing import CliRunner

from elad.cli import app
from elad.errors import RunFolderError
from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.records import to_json
from elad.replay import replay
from elad.report.export import FORMATS, export


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose questions are files."""
    base = tmp_path_factory.mktemp("source")
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
    run(Experiment.of(raw, base=base), base / "run")
    return base / "run"


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
    for to in FORMATS:
        assert rows(tmp_path / "again", to) == rows(source, to)
    assert history(tmp_path / "again") == history(source)


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


def test_the_verb_tells_what_is_unknown(source: Path, tmp_path: Path) -> None:
    words = ["replay", str(source), "--out", str(tmp_path / "x"), "--set", "selector.kind=random", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["unknown"]
