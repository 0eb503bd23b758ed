"""A whole campaign against a server that misbehaves in every way: the cap holds, the books add up, nothing is lost."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from loop_kit import experiment, problems

from elad.errors import TeacherError
from elad.experiment import Data, Experiment
from elad.ledger.events import Kind, Ledger
from elad.ledger.reconcile import Books, reconcile
from elad.loop import run
from elad.outcomes import ReplyOutcome
from elad.records import Charge, Reply, from_json
from elad.teachers import call
from elad.testing import ChaosServer, ChaosTeacher, Fault

CANARY = "sk-canary-1234567890"
PRICE = {"input": 1.0, "output": 2.0}


def answer(messages: Any) -> str:
    """The sum that the last question asks for."""
    numbers = re.findall(r"has (\d+) pens\. \w+ buys (\d+) pens and finds (\d+)", messages[-1]["content"])[-1]
    a, b, c = map(int, numbers)
    return f"{a} + {b} = {a + b}.\n{a + b} + {c} = {a + b + c}.\nThe answer is {a + b + c}."


def campaign(server: ChaosServer, questions: int, **teacher: Any) -> Experiment:
    """All questions bought in one round, one call each."""
    data = Data(pool=problems(questions, 1, "p"), heldout=problems(2, 2, "h"), warmup=problems(2, 3, "w"))
    endpoint = {"kind": "openai", "base_url": server.base_url, "model": "m", "price": PRICE, "timeout_seconds": 1.0}
    return experiment(
        data=data,
        teacher=endpoint | teacher,
        selector={"kind": "random"},
        reviser={"kind": "rewrite", "max_tokens": 128},
        rounds={"count": 1, "questions": questions},
    )


def to_the_end(planned: Experiment, folder: Path) -> int:
    """Runs and resumes until the run is done; gives how often the endpoint as a whole was of no use."""
    stops = 0
    while True:
        try:
            run(planned, folder)
        except TeacherError:
            stops += 1
            assert stops < 200
        else:
            return stops


def books(folder: Path) -> Books:
    with Ledger(folder, write=False) as ledger:
        return reconcile(ledger)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "FIRST_WAIT_SECONDS", 0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
def test_under_a_cap_with_three_faults_in_ten_requests(tmp_path: Path) -> None:
    questions = 1000
    with ChaosTeacher(answer=answer) as server:
        run(campaign(server, 50), tmp_path / "whole")
        whole = books(tmp_path / "whole").spent.money * questions / 50
    share = 0.3 / len(Fault)
    chaos = ChaosTeacher(
        answer=answer, faults={fault: share for fault in Fault}, slow_seconds=0.1, stall_seconds=1.5,
        retry_after_seconds=0.05, limit=48,
    )  # fmt: skip
    cap = 0.6 * whole
    with chaos as server:
        planned = campaign(server, questions).but([f"budget.money={cap}"])
        stops = to_the_end(planned, tmp_path / "run")
        found = books(tmp_path / "run")
    assert found.problems == ()
    assert found.open == ()
    assert 0.97 * cap <= found.spent.money <= cap
    # Price changes are what the user's table does not know; all else that was billed is on our books.
    changed = server.books.faults[Fault.PRICE_CHANGE] * whole / questions
    assert server.books.money - changed <= found.spent.money
    assert stops <= server.books.faults[Fault.AUTH_EXPIRED]
    assert fates(tmp_path / "run", questions)


def fates(folder: Path, questions: int) -> bool:
    """Whether every question is bought, failed with a reason, or untouched."""
    with Ledger(folder, write=False) as ledger:
        picked = {event.payload["problem_id"] for event in ledger.events(Kind.PICK)}
        ended = [event.payload for event in ledger.events(Kind.REVISION)]
        for event in ledger.events(Kind.REPLY):
            reply = from_json(Reply, event.payload)
            assert reply.outcome is not ReplyOutcome.FAILED or reply.reason
    assert all(revision["after"] or revision["reason"] for revision in ended)
    names = [revision["problem_id"] for revision in ended]
    return len(picked) == questions and len(set(names)) == len(names) <= questions


KILLED = """
import sys
from pathlib import Path
from types import SimpleNamespace
from test_chaos import campaign
from elad.loop import run
from elad.teachers import call
call.FIRST_WAIT_SECONDS = 0.01
server = SimpleNamespace(base_url=sys.argv[1])
run(campaign(server, int(sys.argv[3]), idempotent=sys.argv[4] == "yes", timeout_seconds=60), Path(sys.argv[2]))
"""


def killed_often(server: ChaosServer, folder: Path, questions: int, kills: int, idempotent: str) -> int:
    """Kills the run when so many more requests have arrived at the server; gives how often that came about."""
    rng = Random(0)
    command = [sys.executable, "-c", KILLED, server.base_url, str(folder), str(questions), idempotent]
    met = 0
    for _ in range(kills):
        mark = server.books.arrived + rng.randint(1, 2 * questions // kills)
        process = subprocess.Popen(command, cwd=Path(__file__).parent)
        while process.poll() is None and server.books.arrived < mark:
            os.sched_yield()
        met += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, cwd=Path(__file__).parent, check=False).returncode == 0
    return met


@pytest.mark.slow
@pytest.mark.parametrize("idempotent", ["yes", "no"])
def test_killed_again_and_again_nothing_is_lost_and_no_answer_is_bought_twice(tmp_path: Path, idempotent: str) -> None:
    questions, kills = 120, 6
    with ChaosTeacher(answer=answer, idempotent=True) as server:
        run(campaign(server, questions), tmp_path / "whole")
    whole = books(tmp_path / "whole")
    with ChaosTeacher(answer=answer, idempotent=idempotent == "yes", latency_ms=5) as server:
        met = killed_often(server, tmp_path / "run", questions, kills, idempotent)
        kept, seen = books(tmp_path / "run"), server.books
    assert met >= kills // 2
    assert kept.problems == ()
    assert kept.open == ()
    assert (kept.replies, kept.revisions) == (whole.replies, whole.revisions) == (questions, questions)
    if idempotent == "yes":
        assert totals(kept.spent) == totals(whole.spent)
        assert (kept.lost, seen.billed) == (0, questions)
    else:
        assert kept.spent.calls == kept.requests
        assert seen.billed <= kept.spent.calls
        assert max(tally.billed for tally in seen.requests.values()) <= 2


@pytest.mark.slow
def test_ctrl_c_settles_what_is_in_flight_and_the_run_goes_on_later(tmp_path: Path) -> None:
    questions = 120
    with ChaosTeacher(answer=answer, latency_ms=200) as server:
        command = [sys.executable, "-c", KILLED, server.base_url, str(tmp_path), str(questions), "no"]
        process = subprocess.Popen(command, cwd=Path(__file__).parent, stderr=subprocess.PIPE, text=True)
        while server.books.arrived < 20:
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
        assert process.returncode != 0
        assert "KeyboardInterrupt" in said
        stopped = books(tmp_path)
        assert stopped.open == ()
        assert stopped.requests == stopped.replies + stopped.lost
        assert stopped.spent.calls == stopped.replies  # the others were about to be sent, and were not
        assert 20 <= stopped.replies < questions
        run(campaign(server, questions), tmp_path)
        assert books(tmp_path).problems == ()
        assert server.books.billed == questions


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    for name, few in (("pool", problems(40, 1, "p")), ("heldout", problems(2, 2, "h"))):
        lines = (json.dumps({"id": one.id, "question": one.question, "answer": one.answer}) for one in few)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with ChaosTeacher(answer=answer, latency_ms=100) as server:
        described = {
            "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl"},
            "task": "numeric",
            "student": {"engine": "fake"},
            "teacher": {"kind": "openai", "base_url": server.base_url, "model": "m", "concurrency": 1},
            "selector": {"kind": "random"},
            "reviser": {"kind": "rewrite"},
            "rounds": {"count": 1, "questions": 40},
        }
        (tmp_path / "experiment.yaml").write_text(json.dumps(described), encoding="utf-8")
        command = [sys.executable, "-m", "elad.cli", "run", "experiment.yaml", "--out", "run"]
        env = os.environ | {"COLUMNS": "200"}
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
        while server.books.arrived < 2:
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
        assert (process.returncode, "run the same command again" in said) == (130, True), said
        assert subprocess.run(command, cwd=tmp_path, env=env, check=False).returncode == 0
        assert server.books.billed == 40


@pytest.mark.slow
def test_not_one_byte_of_the_key_is_left_behind(tmp_path: Path) -> None:
    canary = "sk-canary-7f3a9e1c5b"
    described = tmp_path / "experiment.yaml"
    lines = [
        {"id": f"p{n}", "question": one.question, "answer": one.answer} for n, one in enumerate(problems(6, 1, "p"))
    ]
    (tmp_path / "pool.jsonl").write_text("\n".join(map(json.dumps, lines[:4])), encoding="utf-8")
    (tmp_path / "heldout.jsonl").write_text("\n".join(map(json.dumps, lines[4:])), encoding="utf-8")
    env = os.environ | {"OPENAI_API_KEY": canary, "ELAD_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"}
    faults = [None, Fault.SERVER_ERROR, Fault.WRONG_SCHEMA, Fault.HTML_ERROR, Fault.CONTEXT_LENGTH, Fault.AUTH_EXPIRED]
    with ChaosTeacher(answer=answer, api_key=canary, script=faults) as server:
        described.write_text(
            f"data: {{pool: pool.jsonl, heldout: heldout.jsonl}}\ntask: numeric\nstudent: {{engine: fake}}\n"
            f"teacher: {{kind: openai, base_url: '{server.base_url}', model: m, cache: true}}\n"
            "reviser: {kind: rewrite}\nrounds: {count: 1, questions: 4}\n",
            encoding="utf-8",
        )
        said = ""
        for words in (["run"], ["run"], ["plan"]):
            command = [sys.executable, "-m", "elad.cli", *words, str(described)]
            command += ["--out", str(tmp_path / "run")] if words == ["run"] else []
            done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
            said += done.stdout + done.stderr
    assert server.books.answered > 0
    assert "401" in said
    assert canary not in said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite" for path in files if path.is_relative_to(tmp_path / "cache"))
    assert [path for path in files if canary.encode() in path.read_bytes()] == []


def totals(charge: Charge) -> tuple[Any, ...]:
    return charge.calls, charge.tokens_in, charge.tokens_out, pytest.approx(charge.money)


def test_a_key_that_the_endpoint_echoes_is_nowhere_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("ELAD_CACHE", str(tmp_path / "cache"))
    with ChaosTeacher(answer=lambda messages: f"{answer(messages)} {CANARY}") as server:
        run(campaign(server, 3, cache=True), tmp_path / "run")
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"[key]" in content for content in written)
    assert not any(CANARY.encode() in content for content in written)
