"""Paying: nothing twice, never over the cap, every cent in the ledger."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import TeacherError
from elad.ledger.account import Account, Wait
from elad.ledger.budget import Budget
from elad.ledger.cache import Cache
from elad.ledger.events import Kind, Ledger
from elad.ledger.reconcile import reconcile
from elad.ledger.trail import reply_lengths, settle_earlier
from elad.purchase import GIVE_UP_AFTER, MOST_REJECTED, MOST_TRIES, Purchase
from elad.records import Charge, Message, Problem, Purpose, Reply, ReplyOutcome, Request, Sampling

ASKED_IN, MOST_OUT = 10, 50


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

    def __init__(
        self,
        outcome: Callable[[int, int], ReplyOutcome] = lambda n, t: ReplyOutcome.OK,
        length: Callable[[int], int] = lambda n: 7,
        *,
        window: int = 4,
        repeatable: bool = False,
        scope: str | None = None,
    ) -> None:
        self.sent: list[int] = []
        self.asked: list[int] = []
        """The longest reply that was allowed, by request sent."""
        self.flying: list[int] = []
        """How many were in flight at each reply."""
        self.repeatable = repeatable
        self.scope = scope
        self._outcome = outcome
        self._length = length
        self._window = window

    def worst_case(self, request: Request) -> tuple[int, int, float]:
        return ASKED_IN, request.sampling.max_tokens, (ASKED_IN + request.sampling.max_tokens) / 1000

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
        charge = Charge(calls=1, tokens_in=3, tokens_out=out, money=(3 + out) / 1000, currency="USD")
        return Reply(request=request.key, text=f"{n}", outcome=outcome, charge=charge, teacher=self.id)


def buy(
    folder: Path,
    teacher: Scripted,
    count: int,
    budget: Budget | None = None,
    cache: Cache | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> dict[int, Reply]:
    """What was told of each request, in a session of its own."""
    told: dict[int, Reply] = {}
    with Ledger(folder, write=True) as ledger:
        account = Account(
            budget or Budget(),
            spent=ledger.spent(),
            elapsed=lambda: 0.0,
            warn=lambda _: None,
            lengths=reply_lengths(ledger),
        )
        settle_earlier(ledger, account, teacher, 0)
        purchase = Purchase(teacher, ledger, account, cache, number=1, note=note)

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


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60),
    cap=st.floats(0, 2),
    window=st.integers(1, 9),
    losses=st.sets(st.integers(0, 59)),
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


def test_a_lost_reply_is_paid_for_and_asked_once_more(tmp_path: Path) -> None:
    teacher = Scripted(lambda n, tried: ReplyOutcome.LOST if n == 1 and tried == 0 else ReplyOutcome.OK)
    told = buy(tmp_path, teacher, 3)
    assert sorted(teacher.sent) == [0, 1, 1, 2]
    assert told[1].outcome is ReplyOutcome.OK
    assert spent(tmp_path).calls == 4
    assert spent(tmp_path).money == pytest.approx(3 * 0.010 + 0.060)


def test_a_reply_that_is_always_lost_fails_in_the_end(tmp_path: Path) -> None:
    teacher = Scripted(lambda n, tried: ReplyOutcome.LOST)
    told = buy(tmp_path, teacher, 1)
    assert teacher.sent == [0] * MOST_TRIES
    assert told[0].outcome is ReplyOutcome.FAILED
    assert spent(tmp_path).calls == MOST_TRIES
    assert buy(tmp_path, teacher, 1)[0].outcome is ReplyOutcome.FAILED
    assert teacher.sent == [0] * MOST_TRIES


def test_where_a_repeated_request_is_free_a_loss_costs_nothing(tmp_path: Path) -> None:
    teacher = Scripted(lambda n, tried: ReplyOutcome.OK if tried else ReplyOutcome.LOST, repeatable=True)
    buy(tmp_path, teacher, 1)
    assert spent(tmp_path).money == pytest.approx(0.010)


def test_where_the_second_try_fails_too_the_first_is_counted(tmp_path: Path) -> None:
    outcomes = {0: [ReplyOutcome.LOST, ReplyOutcome.FAILED], 1: [ReplyOutcome.LOST, ReplyOutcome.LOST]}
    teacher = Scripted(lambda n, tried: outcomes.get(n, [ReplyOutcome.OK])[tried], repeatable=True)
    told = buy(tmp_path, teacher, 3)
    assert (told[0].outcome, told[1].outcome, told[2].outcome) == (
        ReplyOutcome.FAILED,
        ReplyOutcome.FAILED,
        ReplyOutcome.OK,
    )
    assert spent(tmp_path).money == pytest.approx(2 * 0.060 + 0.010)


def test_a_free_second_try_is_the_same_request(tmp_path: Path) -> None:
    """A shorter one would be another request to the teacher, and billed anew."""
    lost = {24}
    teacher = Scripted(
        lambda n, tried: ReplyOutcome.LOST if n in lost and not tried else ReplyOutcome.OK, window=1, repeatable=True
    )
    buy(tmp_path, teacher, 25, Budget(tokens_out=24 * 7 + MOST_OUT))
    assert [length for n, length in zip(teacher.sent, teacher.asked, strict=True) if n == 24] == [MOST_OUT] * 2


def test_a_try_of_a_killed_session_counts_where_the_cache_answers_instead(tmp_path: Path) -> None:
    class Killed(Scripted):
        def _reply(self, request: Request) -> Reply:
            raise MemoryError

    cache = Cache(tmp_path / "cache", "s")
    with pytest.raises(MemoryError):
        buy(tmp_path / "a", Killed(repeatable=True), 1, cache=cache)
    buy(tmp_path / "b", Scripted(repeatable=True), 1, cache=cache)
    told = buy(tmp_path / "a", Scripted(repeatable=True), 1, Budget(money=0.060001), cache)
    assert (told[0].cached, spent(tmp_path / "a").money) == (True, pytest.approx(0.060))
    with Ledger(tmp_path / "a", write=False) as ledger:
        assert reconcile(ledger).problems == ()
        assert reconcile(ledger).open == ()
    cache.close()


def test_a_cache_that_fails_is_told_and_done_without(tmp_path: Path) -> None:
    said: list[str] = []
    cache = Cache(tmp_path / "cache", "s")
    cache.close()  # every use of it fails now
    told = buy(tmp_path / "run", Scripted(), 3, cache=cache, note=said.append)
    assert all(reply.outcome is ReplyOutcome.OK for reply in told.values())
    assert len(said) == 1
    assert "cache of replies is not used any more" in said[0]


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_request_of_a_killed_session_counts_until_it_is_answered(tmp_path: Path, repeatable: bool) -> None:
    class Killed(Scripted):
        def _reply(self, request: Request) -> Reply:
            raise MemoryError

    with pytest.raises(MemoryError):
        buy(tmp_path, Killed(window=2, repeatable=repeatable), 2)
    teacher = Scripted(repeatable=repeatable)
    tight = Budget(money=0.120001)  # just two worst cases
    told = buy(tmp_path, teacher, 2, tight)
    if repeatable:
        assert sorted(teacher.sent) == [0, 1]
        assert spent(tmp_path).money == pytest.approx(0.020)
    else:
        assert teacher.sent == []
        assert {reply.outcome for reply in told.values()} == {ReplyOutcome.BUDGET}
        assert spent(tmp_path).money == pytest.approx(0.120)


def test_what_was_cut_short_for_the_budget_goes_out_again_as_it_was(tmp_path: Path) -> None:
    class Killed(Scripted):
        def _reply(self, request: Request) -> Reply:
            if len(self.sent) == 25:
                raise MemoryError
            return super()._reply(request)

    class Noting(Scripted):
        def _reply(self, request: Request) -> Reply:
            asked.append(request.sampling.max_tokens)
            return super()._reply(request)

    asked: list[int] = []
    tight = Budget(tokens_out=25 * 7 + 10)
    with pytest.raises(MemoryError):
        buy(tmp_path, Killed(window=1, repeatable=True), 26, tight)
    told = buy(tmp_path, Noting(repeatable=True), 26, tight)
    assert (asked, told[25].outcome) == ([9], ReplyOutcome.OK)


def test_failures_in_a_row_end_the_session_and_are_asked_again(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="in a row"):
        buy(tmp_path, Scripted(lambda n, tried: ReplyOutcome.FAILED), GIVE_UP_AFTER + 3)
    teacher = Scripted()
    told = buy(tmp_path, teacher, GIVE_UP_AFTER + 3)
    assert all(reply.outcome is ReplyOutcome.OK for reply in told.values())


def test_losses_in_a_row_end_the_session_and_are_asked_again(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="in a row"):
        buy(tmp_path, Scripted(lambda n, tried: ReplyOutcome.LOST), 40)
    assert spent(tmp_path).calls <= GIVE_UP_AFTER + 3  # a window of four
    teacher = Scripted()
    told = buy(tmp_path, teacher, 40)
    assert all(reply.outcome is ReplyOutcome.OK for reply in told.values())
    assert sorted(teacher.sent) == list(range(40))


def test_requests_that_are_turned_down_one_by_one_end_nothing(tmp_path: Path) -> None:
    count = MOST_REJECTED - 1
    told = buy(tmp_path, Scripted(lambda n, tried: ReplyOutcome.REJECTED), count)
    assert [told[n].outcome for n in range(count)] == [ReplyOutcome.REJECTED] * count
    again = Scripted()
    assert buy(tmp_path, again, count) == told
    assert again.sent == []


def test_an_endpoint_that_turns_everything_down_ends_the_session(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="turned down"):
        buy(tmp_path, Scripted(lambda n, tried: ReplyOutcome.REJECTED), 2 * MOST_REJECTED)
    with Ledger(tmp_path, write=False) as ledger:
        assert sum(1 for _ in ledger.events(Kind.REPLY)) < 2 * MOST_REJECTED


def test_what_was_not_sent_when_the_user_stopped_is_sent_later(tmp_path: Path) -> None:
    assert buy(tmp_path, Scripted(lambda n, tried: ReplyOutcome.UNSENT), 3) == {}
    assert spent(tmp_path) == Charge()
    told = buy(tmp_path, Scripted(), 3)
    assert all(reply.outcome is ReplyOutcome.OK for reply in told.values())
    with Ledger(tmp_path, write=False) as ledger:
        assert reconcile(ledger).problems == ()


def test_usage_above_the_reservation_is_told_once(tmp_path: Path) -> None:
    class Greedy(Scripted):
        def worst_case(self, request: Request) -> tuple[int, int, float]:
            return 2, request.sampling.max_tokens, 0.0

    said: list[str] = []
    buy(tmp_path, Greedy(), 5, note=said.append)
    assert said == [
        "scripted counts 3 + 7 tokens where at most 2 + 50 were reserved: caps may be passed by such replies"
    ]


def test_what_the_endpoint_as_a_whole_failed_costs_nothing_and_is_asked_again(tmp_path: Path) -> None:
    class Expired(Scripted):
        def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
            source = iter(requests)
            drawn = [one for one in (next(source), next(source), next(source)) if one is not None]
            yield self._reply(drawn[0])
            raise TeacherError("401")

    with pytest.raises(TeacherError, match="401"):
        buy(tmp_path, Expired(), 5)
    assert spent(tmp_path).calls == 1
    teacher = Scripted()
    told = buy(tmp_path, teacher, 5)
    assert sorted(teacher.sent) == [1, 2, 3, 4]
    assert all(reply.outcome is ReplyOutcome.OK for reply in told.values())
    assert spent(tmp_path).calls == 5


def test_a_single_failure_is_an_outcome(tmp_path: Path) -> None:
    teacher = Scripted(lambda n, tried: ReplyOutcome.FAILED if n % 3 == 0 else ReplyOutcome.OK)
    told = buy(tmp_path, teacher, 9)
    assert [told[n].outcome is ReplyOutcome.FAILED for n in range(9)] == [n % 3 == 0 for n in range(9)]
    with Ledger(tmp_path, write=False) as ledger:
        assert sum(1 for _ in ledger.events(Kind.REPLY)) == 9


def test_an_account_waits_for_what_is_in_flight_before_it_refuses() -> None:
    account = Account(Budget(money=0.1), spent=Charge(), elapsed=lambda: 0.0, warn=lambda _: None)
    worst = Charge(calls=1, money=0.06)
    assert account.admit("a", worst) is None
    assert account.admit("b", worst) is Wait.WAIT
    account.settle("a", Charge(calls=1, money=0.01))
    assert account.admit("b", worst) is None
    account.settle("b", Charge(calls=1, money=0.05))
    assert account.admit("c", worst) == "money: 0.1"


def test_the_user_is_warned_once_at_each_mark() -> None:
    said: list[str] = []
    account = Account(Budget(calls=20), spent=Charge(calls=11), elapsed=lambda: 0.0, warn=said.append)
    assert said == []
    for n in range(9):
        assert account.admit(str(n), Charge(calls=1)) is None
        account.settle(str(n), Charge(calls=1))
    assert said == ["budget: 80% of calls used", "budget: 95% of calls used"]
