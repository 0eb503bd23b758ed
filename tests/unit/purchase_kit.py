"""A teacher that answers as it is told, and a purchase from it in a session of its own."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from elad.ledger.account import Account
from elad.ledger.budget import Budget
from elad.ledger.cache import Cache
from elad.ledger.events import Kind, Ledger
from elad.ledger.prices import Price
from elad.ledger.trail import reply_lengths, settle_earlier
from elad.outcomes import Purpose, ReplyOutcome
from elad.purchase import Purchase
from elad.records import Charge, Message, Problem, Reply, Request, Sampling, to_json

ASKED_IN, MOST_OUT = 10, 50
PRICE = Price(input=1000.0, output=1000.0)
"""0.001 a token."""
ENDLESS = Budget()


def request(n: int) -> Request:
    message = Message(role="user", content=f"{n}")
    sampling = Sampling(max_tokens=MOST_OUT)
    problem = Problem(id=f"q{n}", question="?")
    return Request(problem=problem, purpose=Purpose.SOLVE, messages=(message,), sampling=sampling)


class Scripted:
    """A teacher with `window` requests in flight that answers as `outcomes` says, by question and try."""

    id = "scripted"
    serves = frozenset(Purpose)
    priced = True
    way = "live"

    def __init__(
        self,
        outcome: Callable[[int, int], ReplyOutcome] = lambda n, t: ReplyOutcome.OK,
        length: Callable[[int], int] = lambda n: 7,
        *,
        window: int = 4,
        repeatable: bool = False,
        lost: bool | None = None,
        scope: str | None = None,
    ) -> None:
        self.sent: list[int] = []
        self.asked: list[int] = []
        """The longest reply that was allowed, by request sent."""
        self.flying: list[int] = []
        """How many were in flight at each reply."""
        self.repeatable = repeatable
        self._lost = lost
        self.scope = scope
        self._outcome = outcome
        self._length = length
        self._window = window

    def lost(self, request: Request) -> bool | None:
        return self._lost

    def worst_case(self, request: Request) -> Charge:
        most = request.sampling.max_tokens
        return charged(ASKED_IN, most)

    def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        source, flying = iter(requests), list[Request]()
        while True:
            while len(flying) < self._window:
                drawn = next(source, None)
                if drawn is None:
                    break
                flying.append(drawn)
            if not flying:
                return
            self.flying.append(len(flying))
            yield self._reply(flying.pop(0))

    def close(self) -> None:
        pass

    def _reply(self, request: Request) -> Reply:
        n = int(request.messages[0].content)
        outcome = self._outcome(n, self.sent.count(n))
        self.sent.append(n)
        self.asked.append(request.sampling.max_tokens)
        if outcome is ReplyOutcome.UNSENT:
            return Reply(request=request.key, text="", outcome=outcome, charge=Charge(), teacher=self.id)
        if outcome in (ReplyOutcome.LOST, ReplyOutcome.FAILED, ReplyOutcome.REJECTED):
            return Reply(request=request.key, text="", outcome=outcome, charge=Charge(calls=1), teacher=self.id)
        wanted = self._length(n)
        out = min(wanted, request.sampling.max_tokens)
        outcome = ReplyOutcome.TRUNCATED if out < wanted else outcome
        return Reply(request=request.key, text=f"{n}", outcome=outcome, charge=charged(3, out), teacher=self.id)


def charged(tokens_in: int, tokens_out: int) -> Charge:
    """What a call costs at `PRICE`."""
    money = PRICE.money(tokens_in=tokens_in, tokens_out=tokens_out)
    return Charge(
        calls=1,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        money=money,
        currency="USD",
        price_version=PRICE.version,
    )


@contextmanager
def session(
    folder: Path,
    teacher: Scripted,
    budget: Budget = ENDLESS,
    cache: Cache | None = None,
    note: Callable[[str], None] = lambda _: None,
    as_bought: bool = False,
) -> Iterator[tuple[Ledger, Account, Purchase]]:
    """A session of a run in the folder."""
    with Ledger(folder, write=True) as ledger:
        told = {"experiment": {"teacher": {"price": to_json(PRICE)}, "budget": to_json(budget)}}
        ledger.append(Kind.SESSION, [(str(time.time_ns()), told)], round=-1)
        account = Account(
            budget,
            spent=ledger.spent(as_bought=as_bought),
            elapsed=lambda: 0.0,
            warn=lambda _: None,
            lengths=reply_lengths(ledger, as_bought=as_bought),
            as_bought=as_bought,
        )
        settle_earlier(ledger, account, teacher, 0)
        yield ledger, account, Purchase(teacher, ledger, account, cache, number=1, note=note)


class Killed(Scripted):
    """Under it the process is killed at the first reply."""

    def _reply(self, request: Request) -> Reply:
        raise MemoryError


def buy(
    folder: Path,
    teacher: Scripted,
    count: int,
    budget: Budget = ENDLESS,
    cache: Cache | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> dict[int, Reply]:
    """What was told of each request, in a session of its own."""
    told: dict[int, Reply] = {}
    with session(folder, teacher, budget, cache, note) as (ledger, account, purchase):

        def tell(request: Request, reply: Reply) -> None:
            assert reply.request == request.key
            told[int(request.messages[0].content)] = reply

        purchase.pay(iter([request(n) for n in range(count)]), tell)
        spent = ledger.spent()
        assert spent.money == pytest.approx(account.spent.money)
    return told


def spent(folder: Path) -> Charge:
    with Ledger(folder, write=False) as ledger:
        return ledger.spent()
