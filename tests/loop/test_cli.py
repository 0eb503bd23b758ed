"""The command line as a user meets it: tables, JSON, exit codes, one-line errors."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from loop_kit import experiment, problems

from elad.loop import run


def elad(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own."""
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "elad.cli", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with data and a configuration, as a user would write them."""
    for name, seed, count in (("pool", 1, 20), ("heldout", 2, 8)):
        rows = [
            {"id": p.id, "question": p.question, "answer": p.answer, "rationale": p.rationale}
            for p in problems(count, seed, name)
        ]
        write_rows(tmp_path / f"{name}.jsonl", rows)
    raw = {
        "name": "mine",
        "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl"},
        "task": {"kind": "numeric"},
        "student": {"engine": "fake"},
        "teacher": {"kind": "reference"},
        "reviser": {"kind": "first_error", "judge": "direct"},
        "rounds": {"count": 1, "questions": 5},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
    return tmp_path


def test_run_status_and_export(mine: Path) -> None:
    ran = elad("run", "mine.yaml", "--out", "out", "--json", cwd=mine)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["state"] == "finished"
    assert [row["questions"] for row in told["rounds"]] == [0, 5]
    status = json.loads(elad("status", "out", "--json", cwd=mine).stdout)
    assert {"state", "reason", "rounds", "spent", "budget", "outcomes"} <= status.keys()
    promised = {"round", "accuracy", "interval", "parsed", "questions", "tokens_in", "tokens_out", "money"}
    for row in status["rounds"]:
        assert promised <= row.keys()
        assert row["interval"] == row["intervals"]["accuracy"]
    assert {"money", "currency", "calls", "tokens_in", "tokens_out", "seconds"} <= status["spent"].keys()
    shown = elad("status", "out", cwd=mine)
    assert "accuracy" in shown.stdout
    assert "spent:" in shown.stdout
    for to in ("messages", "preference", "stepwise"):
        made = elad("export", "out", "--to", to, "--json", cwd=mine)
        assert made.returncode == 0, made.stderr
        rows = [json.loads(line) for line in (mine / "out" / f"{to}.jsonl").read_text().splitlines()]
        assert len(rows) == json.loads(made.stdout)["rows"] > 0
        assert all("provenance" in row for row in rows)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["run", "none.yaml"], 2, "none.yaml: cannot be read"),
        (["run", "eald"], 2, "did you mean 'elad'?"),
        (["run", "mine.yaml", "--set", "rounds.cuont=1"], 2, "did you mean 'count'?"),
        (["run", "mine.yaml", "--set", "data.pool=pol.jsonl"], 2, "did you mean 'pool.jsonl'?"),
        (["run", "mine.yaml", "--set", "data.heldout=pool.jsonl"], 2, "pool"),
        (["run", "mine.yaml", "--set", "teacher.kind=recorded"], 3, "serves"),
        (["run", "mine.yaml", "--set", "student={engine: transformers, model: smolm2}"], 2, "smollm2-135m"),
        (["run", "mine.yaml", "--set", "task=5"], 2, "task: expected a kind"),
        (["run", "mine.yaml", "--set", "selector=null"], 2, "selector: expected a kind"),
        (["run", "mine.yaml", "--set", "reviser.votes=0"], 2, "reviser.votes: must be at least 1, not 0"),
        (["run", "mine.yaml", "--set", "name=../../x"], 2, "name: "),
        (["run", "json:lods"], 2, "json:lods"),
        (["status", "nowhere"], 2, "not a run folder"),
        (["export", "nowhere", "--to", "massages"], 2, "did you mean 'messages'?"),
        (["validate", "none.jsonl"], 2, "none.jsonl"),
        (["demo", "--teacher", "http://x"], 2, "expected URL#model"),
        (["eval", "steps", "mine.yaml"], 2, "mine.yaml"),
    ],
)
def test_bad_input_is_one_clear_line_and_its_exit_code(mine: Path, words: list[str], code: int, told: str) -> None:
    done = elad(*words, cwd=mine)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error:")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_teacher_that_refuses_connections_is_exit_4_and_nothing_is_lost(mine: Path) -> None:
    teacher = "teacher={kind: openai, base_url: 'http://127.0.0.1:9/v1', model: x, attempts: 1}"
    done = elad("run", "mine.yaml", "--out", "out", "--set", teacher, cwd=mine)
    assert done.returncode == 4, done.stderr
    assert "127.0.0.1:9" in done.stderr
    told = json.loads(elad("status", "out", "--json", cwd=mine).stdout)
    assert told["state"] == "failed"
    assert told["outcomes"]["draft"]


def test_validate_counts_and_names_the_rows_that_cannot_be_graded(mine: Path) -> None:
    good = elad("validate", "pool.jsonl", "--json", cwd=mine)
    assert json.loads(good.stdout) == {"rows": 20, "graded_correct": 20, "problems": []}
    write_rows(mine / "bad.jsonl", [{"id": "a", "question": "1+1?", "answer": "two of them"}])
    bad = elad("validate", "bad.jsonl", "--kind", "numeric", cwd=mine)
    assert bad.returncode == 2
    assert "a:" in bad.stdout


def test_lists(mine: Path) -> None:
    methods = json.loads(elad("methods", "--json", cwd=mine).stdout)
    (told,) = [row for row in methods if row["name"] == "elad"]
    assert "2402.13098" in told["paper"]
    assert "reconstruction" in told["evidence"]
    models = json.loads(elad("models", "--json", cwd=mine).stdout)
    assert "smollm2-135m" in [row["name"] for row in models]


def test_step_finding_needs_no_model(mine: Path) -> None:
    row = {"id": "a", "question": "2 + 3?", "answer": "5", "reference_solution": "2 + 3 = 5."}
    write_rows(
        mine / "steps.jsonl",
        [
            {**row, "steps": ["2 + 3 = 6.", "The answer is 6."], "first_error": 0},
            {**row, "id": "b", "steps": ["2 + 3 = 5.", "The answer is 5."], "first_error": -1},
        ],
    )
    told = json.loads(elad("eval", "steps", "steps.jsonl", "--json", cwd=mine).stdout)
    assert (told["wrong"]["accuracy"], told["right"]["accuracy"], told["f1"]) == (1.0, 1.0, 1.0)
    assert not (mine / "runs" / "eval-steps").exists()  # a free teacher answers by its rules of today


def test_export_rows_have_the_shapes_of_trl(tmp_path: Path) -> None:
    from elad.report.export import export

    run(experiment(), tmp_path)
    rows: dict[str, list[dict[str, Any]]] = {}
    for to in ("messages", "preference", "stepwise"):
        export(tmp_path, to, tmp_path / to)
        rows[to] = [json.loads(line) for line in (tmp_path / to).read_text().splitlines()]
    for row in rows["messages"]:
        assert row["messages"][-1]["role"] == "assistant"
        assert "The answer is" in row["messages"][-1]["content"]
    for row in rows["preference"]:
        assert row["chosen"] != row["rejected"]
        assert row["prompt"][0]["role"] in ("system", "user")
    for row in rows["stepwise"]:
        assert len(row["completions"]) == len(row["labels"])
        assert all(isinstance(label, bool) for label in row["labels"])
        assert False not in row["labels"][:-1]
