"""The evidence is made as it says: parts share nothing, arms can be built, rows are what `elad compare` reads."""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from elad.errors import DataError, RunFolderError
from elad.experiment import Experiment
from elad.report.runs import read_arms

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SIZES = {"warmup": 5, "pool": 12, "heldout": 6}


@pytest.fixture
def arms(monkeypatch: pytest.MonkeyPatch, shared: Path) -> Any:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    module = import_module("arms")
    monkeypatch.setattr(module, "SHARED", shared / "data")
    return module


@pytest.fixture
def evidence(monkeypatch: pytest.MonkeyPatch, arms: Any) -> Any:
    module = import_module("evidence")
    fake = arms.COMMON | {"student": "fake"}
    monkeypatch.setattr(module, "COMMON", {key: value for key, value in fake.items() if key != "training"})
    return module


def parts(arms: Any, setting: str = "words", sizes: dict[str, int] = SIZES, **which: Any) -> dict[str, set[str]]:
    told = arms.drawn(arms.SETTINGS[setting], sizes, **({"heldout": "test", "aside": False} | which))
    return {name: {json.loads(line)["question"] for line in text.splitlines()} for name, text in told.items()}


def test_what_is_kept_aside_is_used_by_nothing_else(arms: Any) -> None:
    large = {"warmup": 300, "pool": 300, "heldout": 150}
    used = parts(arms, sizes=large)
    small = parts(arms)
    aside = parts(arms, sizes=large | {"pool": 200, "heldout": 100}, aside=True)
    assert not (used["pool"] | used["heldout"] | small["pool"] | small["heldout"]) & (aside["pool"] | aside["heldout"])
    assert not any(one["warmup"] & (aside["pool"] | aside["heldout"]) for one in (used, small, aside))
    for one in (used, small, aside):
        assert not one["pool"] & one["warmup"]
        assert not one["heldout"] & (one["pool"] | one["warmup"])


def test_what_is_chosen_by_is_not_what_is_reported_on(arms: Any) -> None:
    assert not parts(arms)["heldout"] & parts(arms, heldout="validation")["heldout"]
    with pytest.raises(DataError, match="heldout: 5000 questions are asked for"):
        parts(arms, sizes=SIZES | {"heldout": 5000})


@pytest.mark.parametrize("end", ["_given", "_reference"])
def test_there_are_right_answers_in_the_pool_where_they_may_be_looked_at(arms: Any, end: str) -> None:
    def pool(setting: str) -> list[Any]:
        told = arms.drawn(arms.SETTINGS[setting], SIZES | {"pool": 40}, heldout="test", aside=False)["pool"]
        return [json.loads(line) for line in told.splitlines()]

    def explained(row: Any) -> bool:
        return any(one["text"] == row.get("rationale") and one["correct"] for one in row["teacher_rationales"])

    assert all(explained(row) for row in pool(f"words{end}"))
    assert not all(explained(row) for row in pool("words"))


def test_every_arm_can_be_built(arms: Any) -> None:
    raw = {"data": {"pool": "p.jsonl", "heldout": "h.jsonl"}, "task": "numeric", "teacher": "reference"}
    for arm in arms.ARMS.values():
        one = Experiment.of(arms.COMMON | raw | arm)
        assert Experiment.of(one.resolved()) == one
    assert {name for names in arms.USUAL.values() for name in names} <= arms.ARMS.keys()


def test_rows_make_the_arms_that_their_runs_make(evidence: Any, tmp_path: Path) -> None:
    args = argparse.Namespace(
        setting="words", heldout="test", aside=False, out=tmp_path, seeds=[0, 1], arms=["perplexity", "random"]
    )
    cells = evidence.cells_of(args, {"sizes": SIZES, "rounds": {"count": 2, "questions": 3}})
    kept = tmp_path / "rows.jsonl"
    evidence.run_cells(cells[:3], kept)
    evidence.run_cells(cells, kept)
    found = evidence.read_rows(kept)
    assert len(found) == 4
    made, read = evidence.arms_in(found), read_arms([cell.folder for cell in cells])
    for ours, theirs in zip(made, read, strict=True):
        assert ours.name == theirs.name
        assert [run.curve for run in ours.runs] == [run.curve for run in theirs.runs]
    found[0]["right"][0] = found[0]["right"][0].translate(str.maketrans("01", "10"))
    with pytest.raises(RunFolderError, match="do not begin at the same student"):
        evidence.arms_in(found)
    evidence.tell(kept, "words", None)
