"""How much of an endpoint's rate is used, at what cost of our own, beside the bare client in the same run.

    python benchmarks/teacher.py [--seconds 20] [--repeats 3] [--latency-ms 50] [--limit 64]

A local server (`elad.testing.chaos`) in a process of its own serves `limit` requests at once and refuses the
rest with a 429. Turn about: the bare `openai` client with a semaphore at the server's limit, which is the
ceiling, and a purchase with ledger and account, which does not know the limit. Then ledger appends a second
with durability on, and memory with 100,000 questions queued. The last line is JSON; `ratio` is our rate after
ten seconds over the ceiling's.
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
from pathlib import Path
from typing import Any

import openai

from elad.ledger.account import Account
from elad.ledger.budget import Budget
from elad.ledger.events import Kind, Ledger
from elad.purchase import Purchase
from elad.records import Charge, Message, Problem, Purpose, Reply, Request, Sampling
from elad.teachers.endpoint import Endpoint
from elad.teachers.openai import OpenAI

WARM_SECONDS = 10.0


def main() -> None:
    """Prints a table and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--queued", type=int, default=100_000)
    args = parser.parse_args()
    ours: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    for turn in range(args.repeats):
        with server(args.latency_ms, args.limit) as url:
            bare.append(bare_client(url, args.limit, args.seconds))
        with server(args.latency_ms, args.limit) as url:
            ours.append(purchase(url, args.seconds, args.queued))
        print(f"turn {turn}: bare {bare[-1]}, elad {ours[-1]}", flush=True)
    ratios = [one["rate"] / other["rate"] for one, other in zip(ours, bare, strict=True)]
    own = [1000 * (one["cpu_ms"] - other["cpu_ms"]) / 1000 for one, other in zip(ours, bare, strict=True)]
    told: dict[str, Any] = {
        "name": "teacher",
        "ratio": round(statistics.median(ratios), 3),
        "target": 0.95,
        "met": statistics.median(ratios) >= 0.95,
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "runs": args.repeats,
        "refused_share": round(max(one["refused"] for one in ours), 4),
        "own_cpu_ms": round(statistics.median(own), 3),
        "appends_per_second": round(appends()),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(told))


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
    return measured(times, stop - seconds, 0, time.process_time() - cpu)


def purchase(url: str, seconds: float, queued: int) -> dict[str, float]:
    """A purchase of more than can be bought in the time, out of `queued` questions."""
    times: list[float] = []
    refused = 0
    cpu = time.process_time()
    began = time.monotonic()
    teacher = OpenAI(base_url=url, model="m", concurrency=256).open()
    assert isinstance(teacher, Endpoint)
    pace: Any = teacher.pace
    was = pace.refused

    def counted(headers: Any, started: float) -> None:
        nonlocal refused
        refused += time.monotonic() - began > WARM_SECONDS
        was(headers, started)

    pace.refused = counted

    def source() -> Iterator[Request | None]:
        for n in range(queued):
            if time.monotonic() - began > seconds:
                return
            yield request(n)

    def tell(_: Request, reply: Reply) -> None:
        times.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder), write=True) as ledger:
        account = Account(Budget(calls=10**9), spent=Charge(), elapsed=lambda: 0.0, warn=lambda _: None)
        Purchase(teacher, ledger, account, number=0).pay(source(), tell)
    teacher.close()
    return measured(times, began, refused, time.process_time() - cpu)


def measured(times: list[float], began: float, refused: int, cpu: float) -> dict[str, float]:
    """Replies a second after the warm-up, the share that was refused then, CPU a reply."""
    late = [at for at in times if at - began > WARM_SECONDS]
    rate = (len(late) - 1) / (late[-1] - late[0])
    return {"rate": round(rate, 1), "refused": refused / len(late), "cpu_ms": round(1000 * cpu / len(times), 3)}


def appends(count: int = 20_000, group: int = 1) -> float:
    """Events a second, each in a transaction of its own, synchronous."""
    with tempfile.TemporaryDirectory(dir=".") as folder, Ledger(Path(folder), write=True) as ledger:
        began = time.monotonic()
        for n in range(0, count, group):
            ledger.append(Kind.REPLY, [(str(n + i), {"text": "x" * 200}) for i in range(group)], round=0)
        return count / (time.monotonic() - began)


if __name__ == "__main__":
    main()
