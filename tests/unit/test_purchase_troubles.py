"""Paying where replies are lost, requests fail, or the endpoint as a whole is of no use."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from purchase_kit import MOST_OUT, Killed, Scripted, buy, request, session, spent

from elad.errors import RunFolderError, TeacherError
from elad.ledger.budget import Budget
from elad.ledger.cache import Cache
from elad.ledger.events import Kind, Ledger
from elad.ledger.reconcile import reconcile
from elad.outcomes import ReplyOutcome
from elad.purchase import GIVE_UP_AFTER, MOST_REJECTED, MOST_TRIES
from elad.records import Charge, Reply, Request


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


@pytest.mark.parametrize("second", [ReplyOutcome.FAILED, ReplyOutcome.REJECTED])
def test_a_loss_counts_where_the_free_second_try_brings_nothing(tmp_path: Path, second: ReplyOutcome) -> None:
    outcomes = [ReplyOutcome.LOST, second]
    told = buy(tmp_path, Scripted(lambda n, tried: outcomes[tried], repeatable=True), 1)
    assert told[0].outcome is second
    assert spent(tmp_path).money == pytest.approx(0.060)
    with Ledger(tmp_path, write=False) as ledger:
        assert reconcile(ledger).problems == ()


def test_a_free_second_try_is_the_same_request(tmp_path: Path) -> None:
    """A shorter one would be another request to the teacher, and billed anew."""
    lost = {24}
    teacher = Scripted(
        lambda n, tried: ReplyOutcome.LOST if n in lost and not tried else ReplyOutcome.OK, window=1, repeatable=True
    )
    buy(tmp_path, teacher, 25, Budget(tokens_out=24 * 7 + MOST_OUT))
    assert [length for n, length in zip(teacher.sent, teacher.asked, strict=True) if n == 24] == [MOST_OUT] * 2


def test_a_try_of_a_killed_session_counts_where_the_cache_answers_instead(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("outcome", [ReplyOutcome.FAILED, ReplyOutcome.REJECTED])
@pytest.mark.parametrize("lost", [False, None])
def test_a_request_of_a_killed_session_that_then_fails_may_have_been_billed(
    tmp_path: Path, lost: bool | None, outcome: ReplyOutcome
) -> None:
    with pytest.raises(MemoryError):
        buy(tmp_path, Killed(repeatable=True), 1)
    told = buy(tmp_path, Scripted(lambda n, tried: outcome, repeatable=True, lost=lost), 1)
    assert told[0].outcome is outcome
    assert spent(tmp_path).money == pytest.approx(0.060 if lost is None else 0.0)


@pytest.mark.parametrize(("outcome", "money"), [(ReplyOutcome.OK, 0.070), (ReplyOutcome.FAILED, 0.060)])
def test_a_request_of_a_killed_session_whose_reply_is_gone_is_counted_and_asked_once_more(
    tmp_path: Path, outcome: ReplyOutcome, money: float
) -> None:
    with pytest.raises(MemoryError):
        buy(tmp_path, Killed(repeatable=True), 1)
    teacher = Scripted(lambda n, tried: outcome, repeatable=True, lost=True)
    assert buy(tmp_path, teacher, 1, Budget(money=0.119))[0].outcome is ReplyOutcome.BUDGET
    assert spent(tmp_path).money == pytest.approx(0.060)
    told = buy(tmp_path, teacher, 2)
    assert [told[n].outcome for n in range(2)] == [outcome] * 2
    assert spent(tmp_path).money == pytest.approx(money + 0.010 * (outcome is ReplyOutcome.OK))
    with Ledger(tmp_path, write=False) as ledger:
        assert (reconcile(ledger).problems, reconcile(ledger).lost) == ((), 1)


@pytest.mark.parametrize(("outcome", "money"), [(ReplyOutcome.OK, 0.070), (ReplyOutcome.FAILED, 0.060)])
@pytest.mark.parametrize("lost", [False, None])
def test_who_is_asked_by_another_way_knows_nothing_of_what_a_killed_session_sent(
    tmp_path: Path, lost: bool | None, outcome: ReplyOutcome, money: float
) -> None:
    class Elsewhere(Killed):
        way = "another"

    with pytest.raises(MemoryError):
        buy(tmp_path, Elsewhere(repeatable=True), 1)
    told = buy(tmp_path, Scripted(lambda n, tried: outcome, repeatable=True, lost=lost), 1)
    assert told[0].outcome is outcome
    assert spent(tmp_path).money == pytest.approx(money)
    with Ledger(tmp_path, write=False) as ledger:
        assert reconcile(ledger).problems == ()


def test_what_was_cut_short_for_the_budget_goes_out_again_as_it_was(tmp_path: Path) -> None:
    class KilledAtTheLast(Scripted):
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
        buy(tmp_path, KilledAtTheLast(window=1, repeatable=True), 26, tight)
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


def test_a_rejection_is_final_once_another_request_was_answered(tmp_path: Path) -> None:
    def outcome(n: int, tried: int) -> ReplyOutcome:
        return ReplyOutcome.OK if n == 2 else ReplyOutcome.REJECTED

    with pytest.raises(TeacherError, match="turned down"):
        buy(tmp_path, Scripted(outcome, window=1), 3 + MOST_REJECTED)
    with Ledger(tmp_path, write=False) as ledger:
        assert sum(1 for _ in ledger.events(Kind.REPLY)) == 3


def test_an_endpoint_that_turns_everything_down_ends_the_session_and_is_asked_again(tmp_path: Path) -> None:
    count = 2 * MOST_REJECTED
    with pytest.raises(TeacherError, match="turned down"):
        buy(tmp_path, Scripted(lambda n, tried: ReplyOutcome.REJECTED), count)
    with Ledger(tmp_path, write=False) as ledger:
        assert sum(1 for _ in ledger.events(Kind.REPLY)) == 0
        assert reconcile(ledger).problems == ()
    told = buy(tmp_path, Scripted(), count)
    assert {reply.outcome for reply in told.values()} == {ReplyOutcome.OK}


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("room", range(4))
def test_a_disk_that_is_full_while_replies_are_in_flight_loses_none_that_was_written(
    tmp_path: Path, room: int, repeatable: bool
) -> None:
    class Filling(Scripted):
        """The disk has room for some pages more once the fifth reply is under way."""

        ledger: Ledger

        def _reply(self, request: Request) -> Reply:
            if len(self.sent) == 4:
                db = self.ledger._db
                pages = db.execute("PRAGMA page_count").fetchone()[0]
                db.execute(f"PRAGMA max_page_count = {pages + room}")
            return super()._reply(request)

    teacher = Filling(repeatable=repeatable)
    with session(tmp_path, teacher) as (ledger, _, purchase):
        teacher.ledger = ledger
        with pytest.raises(RunFolderError, match="full"):
            purchase.pay(iter([request(n) for n in range(60)]), lambda *_: None)
    with Ledger(tmp_path, write=False) as ledger:
        written = [event.key for event in ledger.events(Kind.REPLY)]
        assert reconcile(ledger).problems == ()
        in_flight = len(reconcile(ledger).open)
    assert len(teacher.sent) - 1 <= len(written) <= len(teacher.sent)
    assert 0 < in_flight <= 5
    again = Scripted(repeatable=repeatable)
    told = buy(tmp_path, again, 60)
    assert {reply.outcome for reply in told.values()} == {ReplyOutcome.OK}
    assert len(again.sent) == 60 - len(written)
    assert spent(tmp_path).money == pytest.approx(60 * 0.010 + (0 if repeatable else in_flight * 0.060))


def test_what_was_not_sent_when_the_user_stopped_is_sent_later(tmp_path: Path) -> None:
    assert buy(tmp_path, Scripted(lambda n, tried: ReplyOutcome.UNSENT), 3) == {}
    assert spent(tmp_path) == Charge()
    told = buy(tmp_path, Scripted(), 3)
    assert all(reply.outcome is ReplyOutcome.OK for reply in told.values())
    with Ledger(tmp_path, write=False) as ledger:
        assert reconcile(ledger).problems == ()


def test_usage_above_the_reservation_is_told_once(tmp_path: Path) -> None:
    class Greedy(Scripted):
        def worst_case(self, request: Request) -> Charge:
            return Charge(calls=1, tokens_in=2, tokens_out=request.sampling.max_tokens)

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


def test_what_a_killed_session_sent_stays_open_until_it_is_asked_again(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        buy(tmp_path, Killed(repeatable=True), 1)
    buy(tmp_path, Scripted(lambda n, tried: ReplyOutcome.UNSENT, repeatable=True), 1)
    with Ledger(tmp_path, write=False) as ledger:
        assert len(reconcile(ledger).open) == 1
    buy(tmp_path, Scripted(repeatable=True), 1)
    assert spent(tmp_path).money == pytest.approx(0.010)
