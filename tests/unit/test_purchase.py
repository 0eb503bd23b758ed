"""Paying: nothing twice, never over the cap, every cent in the ledger."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from purchase_kit import ASKED_IN, MOST_OUT, Scripted, buy, charged, request, session, spent

from elad.ledger.account import Account, Wait
from elad.ledger.budget import Budget
from elad.ledger.cache import Cache
from elad.ledger.reconcile import reconcile
from elad.outcomes import ReplyOutcome
from elad.purchase import GIVE_UP_AFTER
from elad.records import Charge, Reply


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60),
    cap=st.floats(0, 2),
    window=st.integers(1, 9),
    losses=st.sets(st.integers(0, 59), max_size=GIVE_UP_AFTER - 1),
)
def test_the_cap_holds_whatever_comes_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], cap: float, window: int, losses: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("cap")

    def outcome(n: int, tried: int) -> ReplyOutcome:
        return ReplyOutcome.LOST if n in losses and not tried else ReplyOutcome.OK

    told = buy(folder, Scripted(outcome, lengths.__getitem__, window=window), len(lengths), Budget(money=cap))
    assert spent(folder).money <= cap + 1e-9
    assert len(told) == len(lengths)


def test_a_tight_cap_buys_nearly_all_it_can(tmp_path: Path) -> None:
    cap = 1.0  # 100 replies of 10 tokens; the worst case is six times that
    told = buy(tmp_path, Scripted(window=8), 200, Budget(money=cap))
    bought = [reply for reply in told.values() if reply.outcome is ReplyOutcome.OK]
    assert len(bought) >= 98
    assert 0.97 * cap <= spent(tmp_path).money <= cap
    refused = {reply.reason for reply in told.values() if reply.outcome is ReplyOutcome.BUDGET}
    assert refused == {"budget reached: money: 1.0 USD"}


def test_a_reply_cut_by_the_budget_is_asked_for_in_full_where_the_cap_bears_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", "s")
    lengths = {30: 40, 31: 40}
    teacher = Scripted(length=lambda n: lengths.get(n, 7), window=1)
    told = buy(tmp_path / "run", teacher, 32, Budget(tokens_out=30 * 7 + 9), cache)
    assert teacher.asked[-1] == 9
    assert told[30].outcome is told[31].outcome is ReplyOutcome.BUDGET
    assert cache.get(request(29)) is not None
    assert cache.get(request(30)) is None
    larger = buy(tmp_path / "run", teacher, 32, Budget(tokens_out=30 * 7 + 9 + 100), cache)
    assert larger[30].outcome is larger[31].outcome is ReplyOutcome.OK
    assert spent(tmp_path / "run").tokens_out == 30 * 7 + 9 + 80
    cache.close()


def test_near_the_cap_requests_still_go_side_by_side(tmp_path: Path) -> None:
    teacher = Scripted(window=8)
    buy(tmp_path, teacher, 60, Budget(tokens_out=40 * 7 + 30))  # from the 27th on, no reply of fifty tokens fits
    assert min(teacher.flying[27:36]) >= 4


def test_a_resumed_run_knows_how_long_replies_are(tmp_path: Path) -> None:
    cap = Budget(money=1.0)
    buy(tmp_path, Scripted(), 95, cap)
    told = buy(tmp_path, Scripted(), 200, cap)
    assert sum(reply.outcome is ReplyOutcome.OK for reply in told.values()) >= 98


def test_what_was_bought_is_not_bought_again(tmp_path: Path) -> None:
    first = buy(tmp_path, Scripted(), 5)
    teacher = Scripted()
    again = buy(tmp_path, teacher, 7)
    assert teacher.sent == [5, 6]
    assert {n: again[n] for n in first} == first


def test_another_run_pays_nothing_for_what_the_cache_has(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", "s")
    buy(tmp_path / "a", Scripted(), 5, cache=cache)
    teacher = Scripted()
    told = buy(tmp_path / "b", teacher, 5, Budget(calls=0), cache=cache)
    assert teacher.sent == []
    assert all(reply.cached and reply.outcome is ReplyOutcome.OK for reply in told.values())
    assert spent(tmp_path / "b") == Charge()
    other = Cache(tmp_path / "cache", "another endpoint")
    assert other.get(request(0)) is None
    other.close()
    cache.close()


def counted(folder: Path, teacher: Scripted, cap: float, cache: Cache | None) -> int:
    """How many of twelve replies a session gets where those of the cache count as what they cost; its cap holds."""
    told: list[Reply] = []
    with session(folder, teacher, Budget(money=cap), cache, as_bought=True) as (ledger, account, purchase):
        purchase.pay(iter([request(n) for n in range(12)]), lambda _, reply: told.append(reply))
        assert account.spent.money == pytest.approx(ledger.spent(as_bought=True).money)
        assert account.spent.money <= cap + 1e-9
        assert reconcile(ledger).problems == ()
    return sum(reply.outcome is ReplyOutcome.OK for reply in told)


@given(bought=st.integers(0, 12), cap=st.sampled_from([0.0, 0.01, 0.06, 0.1, 0.15, 1.0]), window=st.integers(1, 4))
def test_what_the_cache_has_counts_as_what_it_cost_and_is_not_paid_for(
    tmp_path_factory: pytest.TempPathFactory, bought: int, cap: float, window: int
) -> None:
    folder = tmp_path_factory.mktemp("counted")
    alone = counted(folder / "alone", Scripted(window=window), cap, None)
    cache = Cache(folder / "cache", "s")
    buy(folder / "a", Scripted(), bought, cache=cache)
    teacher = Scripted(window=window)
    got = counted(folder / "b", teacher, cap, cache)
    assert spent(folder / "b").calls == len(teacher.sent) <= max(alone - bought, 0)
    assert alone <= got <= alone + (ASKED_IN + MOST_OUT) // 10  # what a worst case keeps free, in replies of ten tokens
    assert counted(folder / "b", Scripted(window=window), cap, cache) == got
    cache.close()


def test_what_was_bought_in_another_currency_is_asked_for_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", "s")
    for asked, currency in ((request(0), "EUR"), (request(1), None)):
        old = replace(charged(3, 7), currency=currency)
        reply = Reply(request=asked.key, text="old", outcome=ReplyOutcome.OK, charge=old, teacher="scripted")
        cache.put(asked, reply)
    teacher = Scripted()
    assert counted(tmp_path / "run", teacher, 1.0, cache) == 12
    assert sorted(teacher.sent) == list(range(12))
    cache.close()


def test_an_account_waits_for_what_is_in_flight_before_it_refuses() -> None:
    account = Account(Budget(money=0.1), spent=Charge(), elapsed=lambda: 0.0, warn=lambda _: None)
    worst = Charge(calls=1, money=0.06)
    assert account.admit("a", worst) is None
    assert account.admit("b", worst) is Wait.WAIT
    account.settle("a", Charge(calls=1, money=0.01))
    assert account.admit("b", worst) is None
    account.settle("b", Charge(calls=1, money=0.05))
    assert account.admit("c", worst) == "money: 0.1"


def test_what_was_held_and_is_settled_holds_up_nobody() -> None:
    account = Account(Budget(money=0.1), spent=Charge(), elapsed=lambda: 0.0, warn=lambda _: None)
    worst = Charge(calls=1, money=0.06)
    account.hold("a", worst)
    assert account.admit("b", worst) == "money: 0.1"
    account.settle("a", Charge(calls=1, money=0.01))
    assert account.admit("b", worst) is None
    assert account.admit("c", worst) is Wait.WAIT


def test_the_user_is_warned_once_at_each_mark() -> None:
    said: list[str] = []
    account = Account(Budget(calls=20), spent=Charge(calls=11), elapsed=lambda: 0.0, warn=said.append)
    assert said == []
    for n in range(9):
        assert account.admit(str(n), Charge(calls=1)) is None
        account.settle(str(n), Charge(calls=1))
    assert said == ["budget: 80% of calls used", "budget: 95% of calls used"]
