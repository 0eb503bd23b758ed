"""`elad doctor` as a user or a script meets it."""

import json
import socket
import traceback
from pathlib import Path
from typing import Any

import pytest
from doctor_kit import CANARY, MODEL, able, refuses, says
from typer.testing import CliRunner, Result

from elad.cli import app
from elad.doctor import trouble
from elad.errors import ConfigError, RefusedError, TeacherError
from elad.teachers.capabilities import known


def doctor(*words: str, **teacher: Any) -> Result:
    """The verb on the packaged experiment with the scripted student."""
    changed = {"kind": "openai", "model": MODEL, **teacher} if teacher else {"kind": "reference"}
    sets = [f"teacher={json.dumps(changed)}", "student={engine: fake}"]
    return CliRunner().invoke(app, ["doctor", "elad", *words, *(word for one in sets for word in ("--set", one))])


def test_a_healthy_server_as_json() -> None:
    with able() as server:
        done = doctor("--json", base_url=server.base_url, price={"input": 1.0, "output": 2.0})
        assert known(server.base_url, MODEL)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert list(told) == ["findings", "capabilities", "cost", "competence"]
    for finding in told["findings"]:
        assert list(finding) == ["name", "verdict", "found", "remedy", "fatal"]
    assert told["capabilities"]["model"] == MODEL
    assert told["competence"] is None
    for name in ("calls", "tokens_in", "tokens_out", "money"):
        assert 0 < told["cost"]["spent"][name] < told["cost"]["most"][name]
    assert told["cost"]["currency"] == "USD"
    assert f"at most {told['cost']['most']['calls']} calls" in done.stderr


def test_tables_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with able(says(model="[bold]other[/]")) as server:
        done = doctor("--competence", base_url=server.base_url)
    assert done.exit_code == 0, done.output
    for part in ("reachable", "[bold]other[/]", "spent:", "stepwise", "recommended:", "by this rule:"):
        assert part in done.stdout


def test_a_teacher_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    done = doctor("--competence", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["capabilities"] == {}
    assert told["competence"]["modes"][0]["repaired"] == pytest.approx(
        {"count": 16, "n": 16, "low": 0.8064, "high": 1.0}, abs=1e-4
    )


def test_the_exit_status_tells_a_refusal_from_silence() -> None:
    with able(refuses("model", status=401)) as server:
        refused = doctor("--json", base_url=server.base_url)
    assert isinstance(refused.exception, RefusedError)
    assert "authorised" in str(refused.exception)
    assert json.loads(refused.stdout)["findings"]
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        silent = doctor("--json", base_url=f"http://127.0.0.1:{held.getsockname()[1]}/v1")
    assert isinstance(silent.exception, TeacherError)
    assert json.loads(silent.stdout)["findings"]


def test_a_cap_on_money_without_a_price_prevents_a_run() -> None:
    with able() as server:
        done = doctor("--json", "--set", "budget.money=1", base_url=server.base_url)
    assert isinstance(done.exception, RefusedError)
    assert "price" in str(done.exception)


def test_competence_beyond_the_budget_is_refused_after_the_findings_are_shown() -> None:
    with able() as server:
        done = doctor("--competence", "--json", "--set", "budget.calls=20", base_url=server.base_url)
    assert isinstance(done.exception, RefusedError)
    assert "calls: 20" in str(done.exception)
    assert json.loads(done.stdout)["findings"]


def test_an_experiment_that_cannot_be_built() -> None:
    assert isinstance(doctor("--set", "rounds.cuont=1").exception, ConfigError)


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_no_byte_of_the_key_is_in_any_output(status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("ELAD_CACHE", str(tmp_path))
    monkeypatch.setattr(trouble, "_FIRST_WAIT_SECONDS", 0.0)
    change = says(model=CANARY, id=CANARY) if status == 200 else refuses("model", message=CANARY, status=status)
    with able(change, listing={"data": [{"id": CANARY}]}) as server:
        for words in (["--json"], ["--competence"]):
            done = doctor(*words, base_url=server.base_url)
            assert CANARY not in done.output
            if done.exc_info:
                assert CANARY not in "".join(traceback.format_exception(*done.exc_info))
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes()
