"""A campaign killed again and again, against a server that misbehaves: what is lost, bought twice or overspent?

    python benchmarks/kills.py [--questions 2000] [--kills 50] [--faults 0.3] [--cap 0.6]

Campaigns on made-up sums, each killed with SIGKILL at random moments and resumed, until so many kills have met it
alive; where it ends before, another of the next seed goes on with the count. Counted at the server's side. Each has a
twin that is never killed:

- on a good server that knows idempotency keys, and on one where the fault of a request is a function of its content
  alone (those faults that end a request at once): all totals, outcomes and texts must be the twin's, but for what is
  `doubtful`: a request that was under way at a kill and is turned down when it is sent again may have been billed the
  first time, and counts at its worst case;
- on a bad one that knows keys, and on a bad one that does not, with faults of all kinds by lot and a cap below what all
  questions would cost. There the totals cannot be equal: what a kill sends again draws its fault anew, and under a cap
  the order of arrival decides which questions are bought. Both must keep to the cap, spend 97 % of it, and have the
  same text for what both bought whole, and the same tokens where the server told both. (Of a cap below a thousand or
  so requests the last one's worst case is more than 3 %.)

The last line is JSON; `ratio` is the share of the checks that hold.
"""

# The server's plan of faults is put in another's place (`chaos`).
# pyright: reportPrivateImportUsage=false

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from elad.errors import TeacherError
from elad.experiment import Data, Experiment
from elad.ledger.events import Kind, Ledger
from elad.ledger.reconcile import Books, reconcile
from elad.loop import run
from elad.outcomes import ReplyOutcome
from elad.records import Problem
from elad.teachers import call
from elad.testing import ChaosServer, ChaosTeacher, Fault, service
from elad.testing.faults import Plan

OUT_OF_REACH = 4
REJECTED = ReplyOutcome.REJECTED.value
AT_ONCE = (
    Fault.CONTEXT_LENGTH, Fault.SLOW, Fault.DUPLICATE, Fault.LENGTH, Fault.NO_USAGE, Fault.WRONG_MODEL,
    Fault.REFUSAL, Fault.CONTENT_FILTER,
)  # fmt: skip
"""What ends a request the first time, so that it can last without keeping a campaign from its end."""
SUMMED = ("kills", "requests", "replies", "lost", "billed", "money", "doubtful", "money_billed", "seconds")


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
    """What was found in each kind of campaign."""
    faults: float = args.faults
    all_kinds: dict[Fault, float] = {kind: faults / len(Fault) for kind in Fault}
    at_once: dict[Fault, float] = {kind: faults / len(AT_ONCE) for kind in AT_ONCE}
    with ChaosTeacher(answer=answer) as server:
        run(experiment(server.base_url, {"questions": args.questions}), scratch / "whole")
    cap = args.cap * books(scratch / "whole").spent.money
    return {
        "good server": killed(scratch / "good", {}, args, lasting=True),
        "lasting faults": killed(scratch / "lasting", at_once, args, lasting=True),
        "bad server, keys": killed(scratch / "keys", all_kinds, args, cap=cap),
        "bad server, no keys": killed(scratch / "none", all_kinds, args, cap=cap, idempotent=False),
    }


def killed(
    scratch: Path, faults: Mapping[Fault, float], args: argparse.Namespace, *, cap: float | None = None,
    idempotent: bool = True, lasting: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Campaigns of one kind, added up until so many kills have met one alive, each with its twin."""
    checks: dict[str, bool] = {}
    total: dict[str, Any] = dict.fromkeys(SUMMED, 0)
    twin: dict[str, Any] = dict.fromkeys(SUMMED, 0)
    seeds = 0
    while total["kills"] < args.kills:
        settings = {"questions": args.questions, "idempotent": idempotent, "cap": cap}
        seed, left = args.seed + seeds, args.kills - total["kills"]
        told: dict[str, dict[str, Any]] = {}
        for name, kills in (("twin", 0), ("killed", left)):
            with chaos(seed, faults, idempotent=idempotent, lasting=lasting) as server:
                told[name] = campaign(server, scratch / f"{name}-{seed}", settings, kills, seed)
        assert told["killed"]["kills"], "no kill has met a campaign alive"
        for check, held in compared(scratch, seed, told["killed"], told["twin"], same=lasting):
            checks[check] = checks.get(check, True) and held
        total = {key: total[key] + told["killed"][key] for key in SUMMED}
        twin = {key: twin[key] + told["twin"][key] for key in SUMMED}
        seeds += 1
    found = {**total, "twin": twin, "cap": cap, "campaigns": seeds, "checks": checks}
    print(scratch.name, found, flush=True)
    return found


def chaos(seed: int, faults: Mapping[Fault, float], *, idempotent: bool, lasting: bool) -> ChaosTeacher:
    """The server of a campaign."""
    service.Plan = Lasting if lasting else Plan
    return ChaosTeacher(
        seed=seed, answer=answer, faults=faults, idempotent=idempotent, latency_ms=5, slow_seconds=0.1,
        stall_seconds=1.5, retry_after_seconds=0.05, limit=48,
    )  # fmt: skip


class Lasting(Plan):
    """Each request meets the same fault as often as it is sent."""

    def draw(self, digest: str) -> Fault | None:
        """The fault of the first one of this content."""
        self._seen.clear()
        return super().draw(digest)


def campaign(server: ChaosServer, folder: Path, settings: dict[str, Any], kills: int, seed: int) -> dict[str, Any]:
    """One campaign, killed at most so many times and then left to end: the books of both sides, and what holds."""
    began = time.monotonic()
    met = kill_often(server, folder, settings, kills, seed)
    kept, seen = books(folder), server.books
    most = max(tally.billed for tally in seen.requests.values())
    # A change of price is what the user's table cannot know; all else that was billed is on our books.
    changed = seen.faults.get(Fault.PRICE_CHANGE, 0) * kept.spent.money / max(1, kept.requests)
    checks = {
        "books add up": kept.problems == () and kept.open == (),
        "no more billed than counted": seen.money - 2 * changed <= kept.spent.money + 1e-9,
        "no request billed more often than counted": most <= (1 if settings["idempotent"] else 2),
    }
    cap = settings["cap"]
    if cap is not None:
        checks["under the cap"] = kept.spent.money <= cap
        checks["97 % of the cap bought"] = kept.spent.money >= 0.97 * cap
    print(folder.name, met, *kept.problems[:3], flush=True)
    return {
        "kills": met, "requests": kept.requests, "replies": kept.replies, "lost": kept.lost, "billed": seen.billed,
        "money": round(kept.spent.money, 9), "doubtful": round(doubtful(folder), 9),
        "money_billed": round(seen.money, 9),
        "seconds": round(time.monotonic() - began), "checks": checks,
    }  # fmt: skip


def compared(
    scratch: Path, seed: int, killed: dict[str, Any], twin: dict[str, Any], *, same: bool
) -> Iterator[tuple[str, bool]]:
    """What holds of a campaign, of its twin, and between the two; `same`: they must end alike in all."""
    yield from killed["checks"].items()
    yield "the twin's own checks", all(twin["checks"].values())
    ours, theirs = (replies(scratch / f"{name}-{seed}") for name in ("killed", "twin"))
    if same:
        figures = ("requests", "replies", "lost", "billed", "money_billed")
        sure = [one["money"] - one["doubtful"] for one in (killed, twin)]
        same_money = abs(sure[0] - sure[1]) < 1e-9
        yield "totals as the twin's", same_money and all(abs(killed[key] - twin[key]) < 1e-9 for key in figures)
        yield "outcomes, texts and charges as the twin's", ours == theirs
        return
    both = [(ours[key], theirs[key]) for key in ours.keys() & theirs.keys()]
    whole = [(one, other) for one, other in both if one[0] == other[0] == "ok"]
    yield "texts as the twin's, where both are whole", all(one[1] == other[1] for one, other in whole)
    told = [(one[2], other[2]) for one, other in whole if one[2] and other[2]]
    yield "tokens as the twin's, where both were told", all(one == other for one, other in told)


def replies(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Of each reply in a ledger: its outcome, its text, and what was told of its tokens."""
    found: dict[str, tuple[Any, ...]] = {}
    with Ledger(folder, write=False) as ledger:
        for event in ledger.events(Kind.REPLY):
            charge = event.payload["charge"]
            unknown = charge["estimated"] or event.payload["outcome"] == REJECTED
            tokens = None if unknown else (charge["tokens_in"], charge["tokens_out"])
            found[event.key] = event.payload["outcome"], event.payload["text"], tokens
    return found


def doubtful(folder: Path) -> float:
    """What is counted for requests that were turned down."""
    with Ledger(folder, write=False) as ledger:
        charges = [e.payload["charge"] for e in ledger.events(Kind.REPLY) if e.payload["outcome"] == REJECTED]
    return sum(charge["money"] for charge in charges)


def kill_often(server: ChaosServer, folder: Path, settings: dict[str, Any], kills: int, seed: int) -> int:
    """Kills the campaign when so many more requests have arrived at the server, until it ends; gives how often."""
    rng, met = Random(seed), 0
    apart = max(1, int(0.6 * settings["questions"]) // max(1, kills))  # at most: it is to bear all kills
    while met < kills:
        mark = server.books.arrived + rng.randint(1, apart)
        process = start(server, folder, settings)
        while process.poll() is None and server.books.arrived < mark:
            time.sleep(0.001)  # the server lives in this process too, and needs its turn
        met += process.poll() is None
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            return met
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
