"""How much of an endpoint's rate is used, at what cost of our own, beside the bare client in the same run.

    python benchmarks/teacher.py [--seconds 20] [--repeats 3] [--latency-ms 50] [--bound-latency-ms 400] [--limit 64]

A local server (`elad.testing.chaos`) in a process of its own serves `limit` requests at once and refuses the
rest with a 429. Turn about: the bare `openai` client with a semaphore at the server's limit, which is the
ceiling, and a purchase with ledger and account, which does not know the limit. Rates and refusals count from ten
seconds on, or from the half of a shorter turn.

At `latency-ms` a small machine's processor gives out before the server's limit is reached: those turns tell our own
processor time, which is what a request takes us above what it takes the bare client, in processor time of the whole
process, as the median over the turns. At `bound-latency-ms` the server bounds both sides: those turns tell rate and
refusals. `bare_share` is the bare client's rate over limit / latency, and says whether the limit did bind.

Appends: events of 200 bytes, each in a transaction of its own, as a run writes them. When an append returns, the
event is with the operating system and outlives the process; it reaches the disk when the ledger's second thread
has synced it, at most a tenth of a second later, which is what a failure of power can lose.

Memory, in megabytes of a million bytes: the peak of a process of its own that makes a whole run of one round over
`queued` questions: all are read, drafted, picked by lot and handed to the purchase, whose cap lets `bought` be asked.

The last line is JSON: `ratio` is our rate over the ceiling's where the server bounds both, `met` whether every one of
`targets` is.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import openai

from elad.experiment import Data, Experiment
from elad.ledger.account import Account
from elad.ledger.budget import Budget
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.outcomes import Purpose
from elad.purchase import Purchase
from elad.records import Charge, Message, Problem, Reply, Request, Sampling
from elad.teachers.endpoint import Endpoint
from elad.teachers.openai import OpenAI

WARM_SECONDS = 10.0
TARGETS = (
    ("bare_share", "at least", 0.9),
    ("ratio", "at least", 0.95),
    ("refused_share", "below", 0.01),
    ("own_cpu_ms", "below", 2.0),
    ("appends_per_second", "at least", 5000),
    ("peak_mb", "below", 300),
)


def main() -> None:
    """Prints a table and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--bound-latency-ms", type=float, default=400.0, help="so long that the limit binds")
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument("--bought", type=int, default=300)
    parser.add_argument("--child", metavar="URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        queue(args.child, args.queued, args.bought)
        return
    fast = turns(args, args.latency_ms)
    bound = turns(args, args.bound_latency_ms)
    ratios = [ours["rate"] / bare["rate"] for bare, ours in bound]
    allowed = 1000 * args.limit / args.bound_latency_ms
    figures = {
        "bare_share": round(statistics.median(bare["rate"] / allowed for bare, _ in bound), 3),
        "ratio": round(statistics.median(ratios), 3),
        "refused_share": round(max(ours["refused"] for _, ours in bound), 4),
        "own_cpu_ms": round(statistics.median(ours["cpu_ms"] - bare["cpu_ms"] for bare, ours in fast), 3),
        "appends_per_second": round(appends()),
        "peak_mb": peak(args),
    }
    judged = {name: judge(figures[name], how, target) for name, how, target in TARGETS}
    told: dict[str, Any] = {
        "name": "teacher",
        "ratio": figures["ratio"],
        "target": 0.95,
        "met": all(one["met"] for one in judged.values()),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "runs": args.repeats,
        "targets": judged,
    }
    print(json.dumps(told))


def turns(args: argparse.Namespace, latency_ms: float) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Turn about, the bare client and ours."""
    found: list[tuple[dict[str, float], dict[str, float]]] = []
    for turn in range(args.repeats):
        with server(latency_ms, args.limit) as url:
            bare = bare_client(url, args.limit, args.seconds)
        with server(latency_ms, args.limit) as url:
            ours = purchase(url, args.seconds)
        print(f"{latency_ms:g} ms, turn {turn}: bare {bare}, elad {ours}", flush=True)
        found.append((bare, ours))
    return found


def judge(figure: float, how: str, target: float) -> dict[str, Any]:
    """A figure beside its target."""
    met = figure >= target if how == "at least" else figure < target
    return {"figure": figure, "target": f"{how} {target:g}", "met": met}


class server:
    """The chaos teacher in a process of its own; its address, and its log, as long as the block lasts."""

    def __init__(self, latency_ms: float, limit: int) -> None:
        words = ["--latency-ms", str(latency_ms), "--limit", str(limit)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "elad.testing.chaos", *words], stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().split()[-1]

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def request(n: int) -> Request:
    """The n-th question."""
    sampling = Sampling(max_tokens=64)
    messages = (Message(role="user", content=f"Question {n}: what is {n} + {n}?"),)
    problem = Problem(id=str(n), question=messages[0].content)
    return Request(problem=problem, purpose=Purpose.SOLVE, messages=messages, sampling=sampling)


def bare_client(url: str, limit: int, seconds: float) -> dict[str, float]:
    """As many threads as the server serves at once, each with the client and nothing else."""
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    times: list[float] = []
    stop = time.monotonic() + seconds
    cpu = time.process_time()

    def work(place: int) -> None:
        n = place
        while time.monotonic() < stop:
            client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": f"Question {n}: what is {n} + {n}?"}], max_tokens=64
            )
            times.append(time.monotonic())
            n += limit

    threads = [threading.Thread(target=work, args=(place,)) for place in range(limit)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return measured(times, stop - seconds + warm_up(seconds), 0, time.process_time() - cpu)


def purchase(url: str, seconds: float) -> dict[str, float]:
    """A purchase of all that can be bought in the time."""
    times: list[float] = []
    refused = 0
    cpu = time.process_time()
    began, warm = time.monotonic(), warm_up(seconds)
    teacher = OpenAI(base_url=url, model="m", concurrency=256).open()
    assert isinstance(teacher, Endpoint)
    pace: Any = teacher.pace
    was = pace.refused

    def counted(headers: Any, started: float) -> None:
        nonlocal refused
        refused += time.monotonic() - began > warm
        was(headers, started)

    pace.refused = counted

    def source() -> Iterator[Request | None]:
        for n in count():
            if time.monotonic() - began > seconds:
                return
            yield request(n)

    def tell(_: Request, reply: Reply) -> None:
        times.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder), write=True) as ledger:
        account = Account(Budget(calls=10**9), spent=Charge(), elapsed=lambda: 0.0, warn=lambda _: None)
        Purchase(teacher, ledger, account, number=0).pay(source(), tell)
    teacher.close()
    return measured(times, began + warm, refused, time.process_time() - cpu)


def warm_up(seconds: float) -> float:
    """How much of a turn does not count."""
    return min(WARM_SECONDS, seconds / 2)


def measured(times: list[float], since: float, refused: int, cpu: float) -> dict[str, float]:
    """Replies a second after the warm-up, the share that was refused then, CPU a reply of the whole turn."""
    late = [at for at in times if at > since]
    rate = (len(late) - 1) / (late[-1] - late[0])
    return {"rate": round(rate, 1), "refused": refused / len(late), "cpu_ms": round(1000 * cpu / len(times), 3)}


def appends(events: int = 20_000) -> float:
    """Events a second."""
    with tempfile.TemporaryDirectory(dir=".") as folder, Ledger(Path(folder), write=True) as ledger:
        began = time.monotonic()
        for n in range(events):
            ledger.append(Kind.REPLY, [(str(n), {"text": "x" * 200})], round=0)
        return events / (time.monotonic() - began)


def peak(args: argparse.Namespace) -> int:
    """Megabytes that a process of its own takes at most, with so many questions queued."""
    with server(args.latency_ms, args.limit) as url:
        words = ["--child", url, "--queued", str(args.queued), "--bought", str(args.bought)]
        done = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    print(f"queued: {told}", flush=True)
    assert (told["picked"], told["bought"]) == (args.queued, args.bought), told
    return told["peak_mb"]


def queue(url: str, queued: int, bought: int) -> None:
    """Prints the peak of a run over so many questions, of which so many may be asked."""
    with tempfile.TemporaryDirectory() as scratch:
        pool = Path(scratch) / "pool.jsonl"
        with pool.open("w", encoding="utf-8") as file:
            for n in range(queued):
                asked = f"Ana has {n} pens and buys {n % 97} pens. How many pens does Ana have now?"
                file.write(json.dumps({"id": f"q{n}", "question": asked, "answer": str(n + n % 97)}) + "\n")
        run(planned(url, str(pool), queued, bought), Path(scratch) / "run")
        with Ledger(Path(scratch) / "run", write=False) as ledger:
            told = {
                "picked": sum(1 for _ in ledger.events(Kind.PICK)),
                "bought": sum(1 for _ in ledger.events(Kind.REPLY)),
                "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
            }
    print(json.dumps(told))


def planned(url: str, pool: str, queued: int, bought: int) -> Experiment:
    """One round that picks every question by lot and may ask a few."""
    held_out = Problem(id="h", question="Ana has 2 pens and buys 3 pens. How many pens does Ana have now?", answer="5")
    return Experiment.of(
        {
            "data": Data(pool=(pool,), heldout=(held_out,)),
            "task": {"kind": "numeric"},
            "student": {"engine": "fake"},
            "teacher": {"kind": "openai", "base_url": url, "model": "m"},
            "selector": {"kind": "random"},
            "reviser": {"kind": "rewrite", "max_tokens": 64},
            "rounds": {"count": 1, "questions": queued},
            "budget": {"calls": bought},
        }
    )


if __name__ == "__main__":
    main()
