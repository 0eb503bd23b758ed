"""A campaign killed again and again, against a server that misbehaves: what is lost, bought twice or overspent?

    python benchmarks/kills.py [--questions 2000] [--kills 50] [--faults 0.3] [--cap 0.6]

Three campaigns on made-up sums, each killed with SIGKILL at random moments and resumed: on a good server that
knows idempotency keys (totals must be those of a campaign that was never killed), on a bad one that knows them,
and on a bad one that does not, both with a cap below what all questions would cost. Counted at the server's side.
The last line is JSON; `ratio` is the share of the checks that hold.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from elad.errors import TeacherError
from elad.experiment import Data, Experiment
from elad.ledger.events import Ledger
from elad.ledger.reconcile import Books, reconcile
from elad.loop import run
from elad.records import Problem
from elad.teachers import call
from elad.testing import ChaosServer, ChaosTeacher, Fault

OUT_OF_REACH = 4


def main() -> None:
    """Prints what was found in each campaign and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--faults", type=float, default=0.3)
    parser.add_argument("--cap", type=float, default=0.6, help="share of what all questions would cost")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "SETTINGS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(Path(args.child[0]), json.loads(args.child[1]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        found = campaigns(Path(scratch), args)
    checks = [(f"{name}: {check}", held) for name, told in found.items() for check, held in told["checks"].items()]
    ratio = sum(held for _, held in checks) / len(checks)
    kills = [told["kills"] for told in found.values()]
    told = {"name": "kills", "ratio": ratio, "target": 1.0, "met": ratio == 1.0, "runs": sum(kills)}
    broken = [name for name, held in checks if not held]
    print(json.dumps(told | {"spread": [min(kills), max(kills)], "campaigns": found, "broken": broken}))


def campaigns(scratch: Path, args: argparse.Namespace) -> dict[str, Any]:
    """What was found in each of the three."""
    with ChaosTeacher(answer=answer) as server:
        run(experiment(server.base_url, {"questions": args.questions}), scratch / "whole")
    whole = books(scratch / "whole")
    faults = {fault: args.faults / len(Fault) for fault in Fault}
    cap = args.cap * whole.spent.money
    found = {
        "good server": killed(scratch / "good", {}, args, idempotent=True, cap=None),
        "bad server, keys": killed(scratch / "keys", faults, args, idempotent=True, cap=cap),
        "bad server, no keys": killed(scratch / "none", faults, args, idempotent=False, cap=cap),
    }
    good = found["good server"]
    good["checks"]["totals as if never killed"] = (good["replies"], good["money"]) == (
        whole.replies,
        round(whole.spent.money, 9),
    )
    good["checks"]["every question billed once"] = good["billed"] == args.questions
    return found


def killed(
    folder: Path, faults: Mapping[Fault, float], args: argparse.Namespace, *, idempotent: bool, cap: float | None
) -> dict[str, Any]:
    """One campaign, killed so many times and then left to end."""
    chaos = ChaosTeacher(
        seed=args.seed, answer=answer, faults=faults, idempotent=idempotent, latency_ms=5, slow_seconds=0.1,
        stall_seconds=1.5, retry_after_seconds=0.05, limit=48,
    )  # fmt: skip
    began = time.monotonic()
    with chaos as server:
        settings = {"questions": args.questions, "idempotent": idempotent, "cap": cap}
        met = kill_often(server, folder, settings, args)
        kept, seen = books(folder), server.books
    most = max(tally.billed for tally in seen.requests.values())
    # A change of price is what the user's table cannot know; all else that was billed is on our books.
    changed = seen.faults.get(Fault.PRICE_CHANGE, 0) * kept.spent.money / max(1, kept.requests)
    checks = {
        "books add up": kept.problems == () and kept.open == (),
        "no more billed than counted": seen.money - 2 * changed <= kept.spent.money + 1e-9,
        "no request billed more often than counted": most <= (1 if idempotent else 2),
    }
    if cap is not None:
        checks["under the cap"] = kept.spent.money <= cap
        checks["97 % of the cap bought"] = kept.spent.money >= 0.97 * cap
    told: dict[str, Any] = {
        "kills": met, "requests": kept.requests, "replies": kept.replies, "lost": kept.lost, "billed": seen.billed,
        "money": round(kept.spent.money, 9), "money_billed": round(seen.money, 9), "cap": cap,
        "seconds": round(time.monotonic() - began), "checks": checks,
    }  # fmt: skip
    print(folder.name, told, *kept.problems[:3], flush=True)
    return told


def kill_often(server: ChaosServer, folder: Path, settings: dict[str, Any], args: argparse.Namespace) -> int:
    """Kills the campaign when so many more requests have arrived at the server; gives how often it was alive."""
    rng, met = Random(args.seed), 0
    apart = max(1, int(args.cap * args.questions) // args.kills)  # at most: the capped campaigns are to bear all kills
    for _ in range(args.kills):
        mark = server.books.arrived + rng.randint(1, apart)
        process = start(server, folder, settings)
        while process.poll() is None and server.books.arrived < mark:
            time.sleep(0.001)  # the server lives in this process too, and needs its turn
        met += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    while (status := start(server, folder, settings).wait()) == OUT_OF_REACH:
        pass
    assert status == 0, f"the campaign ended with status {status}"
    return met


def start(server: ChaosServer, folder: Path, settings: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """The campaign in a process of its own."""
    told = json.dumps(settings | {"base_url": server.base_url})
    return subprocess.Popen([sys.executable, __file__, "--child", str(folder), told])


def child(folder: Path, settings: dict[str, Any]) -> None:
    """Runs or resumes; the exit status tells when the endpoint as a whole was of no use."""
    call.FIRST_WAIT_SECONDS = 0.01
    try:
        run(experiment(settings["base_url"], settings), folder)
    except TeacherError:
        sys.exit(OUT_OF_REACH)


def experiment(base_url: str, settings: dict[str, Any]) -> Experiment:
    """All questions bought in one round, one call each."""
    teacher: dict[str, Any] = {"kind": "openai", "base_url": base_url, "model": "m", "timeout_seconds": 1.0}
    teacher |= {"price": {"input": 1.0, "output": 2.0}, "idempotent": settings.get("idempotent", False)}
    raw: dict[str, Any] = {
        "name": "kills",
        "data": Data(pool=sums(settings["questions"], 1, "p"), heldout=sums(2, 2, "h"), warmup=sums(2, 3, "w")),
        "task": "numeric",
        "student": {"engine": "fake"},
        "teacher": teacher,
        "selector": {"kind": "random"},
        "reviser": {"kind": "rewrite", "max_tokens": 128},
        "rounds": {"count": 1, "questions": settings["questions"]},
        "budget": {"money": settings.get("cap")},
    }
    return Experiment.of(raw)


def sums(count: int, seed: int, prefix: str) -> tuple[Problem, ...]:
    """Additions with a reference."""
    rng = Random(seed)
    made: list[Problem] = []
    for i in range(count):
        a, b, c = (rng.randint(100, 9999) for _ in range(3))
        question = f"Ana has {a} pens. Ana buys {b} pens and finds {c} pens. How many pens are there?"
        rationale = f"{a} + {b} = {a + b}.\n{a + b} + {c} = {a + b + c}."
        made.append(Problem(id=f"{prefix}{i}", question=question, answer=str(a + b + c), rationale=rationale))
    return tuple(made)


def answer(messages: Any) -> str:
    """The sum that the last question asks for."""
    asked = re.findall(r"has (\d+) pens\. Ana buys (\d+) pens and finds (\d+)", messages[-1]["content"])[-1]
    a, b, c = map(int, asked)
    return f"{a} + {b} = {a + b}.\n{a + b} + {c} = {a + b + c}.\nThe answer is {a + b + c}."


def books(folder: Path) -> Books:
    """What the ledger says."""
    with Ledger(folder, write=False) as ledger:
        return reconcile(ledger)


if __name__ == "__main__":
    main()
