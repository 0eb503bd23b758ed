"""After each round, the ledger and `status` tell whether the scores told wrong from right."""

from io import StringIO
from pathlib import Path
from typing import Any

from loop_kit import experiment
from rich.console import Console

from elad.evaluation.calibration import auroc
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.report.status import calibration_table, status


def shown(told: dict[str, Any]) -> str:
    text = StringIO()
    Console(width=200, file=text).print(calibration_table(told))
    return text.getvalue()


def test_each_round_has_its_calibration(tmp_path: Path) -> None:
    run(experiment(), tmp_path)
    told = status(tmp_path)
    assert [row["round"] for row in told["calibration"]] == [1, 2]
    with Ledger(tmp_path, write=False) as ledger:
        aggregate = {e.payload["problem_id"]: e.payload["aggregate"] for e in ledger.events(Kind.PICK) if e.round == 1}
        revised = [e.payload for e in ledger.events(Kind.REVISION) if e.round == 1]
    judged = [r for r in revised if r["outcome"] in ("accepted", "repaired")]
    row = told["calibration"][0]
    assert row["questions"]["n"] == row["judged"] == len(judged) > 0
    assert row["unneeded"] == sum(r["outcome"] == "accepted" for r in judged)
    pairs = [(aggregate[r["problem_id"]], r["outcome"] != "accepted") for r in judged]
    assert row["questions"]["auroc"] == auroc(pairs)
    assert row["steps"]["n"] == sum(v != "unjudged" for r in judged for v in r["verdicts"])
    assert row["bought"] == len(revised)
    assert f"{row['unneeded']} of {row['judged']}" in shown(told)
    assert f"{row['judged']} of {row['bought']} bought" in shown(told)


def test_sums_over_steps_are_told_without_a_calibration_error(tmp_path: Path) -> None:
    run(experiment("uncertainty.aggregate=sum"), tmp_path)
    told = status(tmp_path)
    assert {row["questions"]["calibration_error"] for row in told["calibration"]} == {None}
    assert "None" not in shown(told)


def test_what_cannot_be_said_is_not_a_number(tmp_path: Path) -> None:
    run(experiment("selector.kind=random", "student.skill=0"), tmp_path)
    told = status(tmp_path)
    assert told["calibration"][0]["questions"] == {"n": 0, "wrong": 0, "auroc": None, "calibration_error": None}
    assert "cannot be said: none scored and judged" in shown(told)


def test_a_rewrite_judges_nothing(tmp_path: Path) -> None:
    run(experiment(reviser={"kind": "rewrite"}), tmp_path)
    told = status(tmp_path)
    assert [row["judged"] for row in told["calibration"]] == [0, 0]
    assert calibration_table(told) is None


def test_a_resumed_run_writes_it_once(tmp_path: Path) -> None:
    for _ in range(2):
        run(experiment(), tmp_path)
    with Ledger(tmp_path, write=False) as ledger:
        assert len(list(ledger.events(Kind.CALIBRATION))) == 2
