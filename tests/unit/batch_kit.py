"""A teacher that is asked by the batch, with a wire between it and the server at which anything can be done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from elad.ledger.account import Account
from elad.ledger.budget import Budget
from elad.ledger.events import Ledger
from elad.ledger.prices import Price
from elad.ledger.trail import settle_earlier
from elad.outcomes import Purpose
from elad.purchase import Purchase
from elad.records import Message, Problem, Reply, Request, Sampling, digest
from elad.teachers.batch import BatchTeacher
from elad.teachers.endpoint import Endpoint, Link
from elad.testing import ChaosServer

PRICE = Price(input=1.0, output=2.0, batch_discount=0.5)
"""What the chaos teacher bills."""
ENDLESS = Budget()
KEY = "sk-canary-1234567890"
CREATE, LIST, UPLOAD = "POST /v1/batches", "GET /v1/batches", "POST /v1/files"
POLL = "GET /v1/batches/batch_000000"
INPUT, OUTPUT = "GET /v1/files/file-000000/content", "GET /v1/files/file-000001/content"
"""Of the first batch."""
HTML = b"<html><body>502 Bad Gateway</body></html>"


class Killed(BaseException):
    """The process is no more."""


Before = Callable[[int, str], None]
After = Callable[[int, str, bytes], httpx2.Response | None]


def raising_at_step(wanted: str) -> Callable[[int, str], None]:
    def strike(_: int, step: str) -> None:
        if step.startswith(wanted):
            raise Killed

    return strike


class Wire(httpx2.BaseTransport):
    """Notes each step as `METHOD path`; `before` and `after` are told its number and name."""

    def __init__(self, real: httpx2.BaseTransport, before: Before | None, after: After | None) -> None:
        self.steps: list[str] = []
        self._real = real
        self._before = before
        self._after = after

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        number, step = len(self.steps), f"{request.method} {request.url.path}"
        self.steps.append(step)
        if self._before:
            self._before(number, step)
        response = self._real.handle_request(request)
        content = response.read()
        response.close()
        changed = self._after(number, step, content) if self._after else None
        kind = {"content-type": response.headers["content-type"]}
        return changed or httpx2.Response(response.status_code, headers=kind, content=content)


def link(base_url: str, **changes: Any) -> Link:
    fields: dict[str, Any] = {
        "base_url": base_url, "model": "m", "price": PRICE, "concurrency": 4, "timeout_seconds": 30.0, "attempts": 3,
        "idempotent": False, "cached": False, "batch": True,
    }  # fmt: skip
    return Link(**(fields | changes))


def wired(endpoint: Endpoint, before: Before | None = None, after: After | None = None) -> Wire:
    """The endpoint's wire, from now on."""
    client = endpoint.client._client
    wire = client._transport = Wire(client._transport, before, after)
    client._mounts = {}
    return wire


@contextmanager
def opened(
    server: ChaosServer,
    sleep: Callable[[float], None] = lambda _: None,
    before: Before | None = None,
    after: After | None = None,
    **changes: Any,
) -> Iterator[tuple[BatchTeacher, Wire]]:
    endpoint = Endpoint("openai:m", link(server.base_url, **changes), KEY)
    wire = wired(endpoint, before, after)
    teacher = BatchTeacher(endpoint, sleep)
    try:
        yield teacher, wire
    finally:
        teacher.close()


def request(n: int, **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "problem": Problem(id=f"q{n}", question="?"),
        "purpose": Purpose.SOLVE,
        "messages": (Message(role="user", content=f"How much is {n} + {n}?"),),
        "sampling": Sampling(max_tokens=50),
        **changes,
    }
    return Request(**fields)


def body(n: int) -> dict[str, Any]:
    """The request as the server's books know it."""
    messages = [{"role": "user", "content": f"How much is {n} + {n}?"}]
    return {"model": "m", "messages": messages, "max_tokens": 50, "temperature": 0.0}


def billed(server: ChaosServer, count: int) -> list[int]:
    """How often each of so many requests was billed."""
    tallies = server.books.requests
    return [tallies[digest(body(n))].billed if digest(body(n)) in tallies else 0 for n in range(count)]


def buy(
    folder: Path, teacher: BatchTeacher, count: int, budget: Budget = ENDLESS, told: dict[int, Reply] | None = None
) -> dict[int, Reply]:
    """What was told of each request, in a session of its own."""
    told = {} if told is None else told
    with Ledger(folder, write=True) as ledger:
        account = Account(budget, spent=ledger.spent(), elapsed=lambda: 0.0, warn=lambda _: None)
        settle_earlier(ledger, account, teacher, 0)
        purchase = Purchase(teacher, ledger, account, number=1)

        def tell(asked: Request, reply: Reply) -> None:
            told[int(asked.problem.id[1:])] = reply

        purchase.pay(iter([request(n) for n in range(count)]), tell)
    return told


def spent(folder: Path) -> float:
    with Ledger(folder, write=False) as ledger:
        return ledger.spent().money
