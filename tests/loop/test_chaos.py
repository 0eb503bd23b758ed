"""A whole campaign against a server that misbehaves in every way: the cap holds, the books add up, nothing is lost."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
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
from elad.records import Charge, Reply, ReplyOutcome, from_json
from elad.teachers import call
from elad.testing import ChaosServer, ChaosTeacher, Fault

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
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(call, "FIRST_WAIT_SECONDS", 0.01)
    yield


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
def test_under_a_cap_with_three_faults_in_ten_requests(tmp_path: Path) -> None:
    questions = 2000
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
    print(f"cap {cap:.4f}, spent {found.spent.money:.4f} ({found.spent.money / cap:.1%}), billed {server.books.money:.4f}")


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
run(campaign(server, int(sys.argv[3]), idempotent=sys.argv[4] == "yes"), Path(sys.argv[2]))
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
    questions, kills = 200, 10
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


def totals(charge: Charge) -> tuple[float, ...]:
    return charge.calls, charge.tokens_in, charge.tokens_out, pytest.approx(charge.money)
