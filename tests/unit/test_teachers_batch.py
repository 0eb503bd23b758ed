"""Asking by the batch: every request gets its reply, at the discount, whatever becomes of the batch."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from batch_kit import CREATE, KEY, LIST, PRICE, UPLOAD, Killed, billed, buy, opened, request, spent

from elad.errors import TeacherError
from elad.ledger.budget import Budget
from elad.ledger.cache import cache_folder
from elad.ledger.events import Kind, Ledger
from elad.outcomes import ReplyOutcome
from elad.records import Message, Reply, Request
from elad.teachers import batch as batch_module
from elad.teachers.batch import BatchTeacher
from elad.teachers.batch_record import FILE
from elad.testing import BatchPlan, ChaosServer, ChaosTeacher
from elad.testing.replies import digest_answer


def outcomes(replies: list[Reply]) -> dict[str, ReplyOutcome]:
    return {reply.request: reply.outcome for reply in replies}


def ask(teacher: BatchTeacher, count: int) -> list[Reply]:
    return list(teacher.ask([request(n) for n in range(count)]))


def test_every_request_gets_its_own_reply_at_the_batch_price() -> None:
    slept: list[float] = []
    with ChaosTeacher() as server, opened(server, slept.append) as (teacher, wire):
        replies = {reply.request: reply for reply in ask(teacher, 20)}
        assert len(replies) == 20
        for n in range(20):
            reply = replies[request(n).key]
            asked = [{"role": "user", "content": f"How much is {n} + {n}?"}]
            assert (reply.outcome, reply.text, reply.teacher) == (ReplyOutcome.OK, digest_answer(asked), "openai:m")
            assert reply.charge.money <= teacher.worst_case(request(n)).money
            assert reply.charge.price_version == PRICE.version_of(batch=True) != PRICE.version
        assert sum(reply.charge.money for reply in replies.values()) == pytest.approx(server.books.money)
        assert sum(reply.charge.calls for reply in replies.values()) == server.books.billed == 20
    poll = "GET /v1/batches/batch_000000"
    output = next(step for step in wire.steps if step.endswith("/content"))
    assert wire.steps == [LIST, UPLOAD, CREATE, poll, poll, poll, poll, output]
    assert sum(slept) == pytest.approx(5.0 + 7.5 + 11.5 + 17.0, abs=1.0)


def test_the_teacher_is_the_live_one_but_for_the_price() -> None:
    with ChaosTeacher() as server, opened(server, cached=True) as (teacher, _):
        worst = teacher.worst_case(request(0))
        live = PRICE.money(tokens_in=worst.tokens_in, tokens_out=worst.tokens_out)
        assert worst.money == pytest.approx(live / 2)
        assert teacher.scope == f"openai:m at {server.base_url}"
        assert (teacher.repeatable, teacher.priced) == (True, True)


def test_a_batch_is_what_the_source_gives_before_it_waits() -> None:
    told: list[int] = []

    def source() -> Iterator[Request | None]:
        yield from (request(0), request(1), None)
        told.append(len(replies))
        yield from (request(2), None)

    with ChaosTeacher() as server, opened(server) as (teacher, wire):
        replies: list[Reply] = []
        for reply in teacher.ask(source()):
            replies.append(reply)
        assert (told, len(replies)) == ([2], 3)
        assert wire.steps.count(CREATE) == 2
        assert wire.steps.count(LIST) == 1
        assert list(teacher.ask([])) == []


def test_a_batch_bears_so_many_lines_and_bytes_and_each_key_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChaosTeacher() as server, opened(server) as (teacher, wire):
        assert len(list(teacher.ask([request(0), request(1), request(0)]))) == 3
        assert wire.steps.count(CREATE) == 2
        monkeypatch.setattr(batch_module, "MOST_LINES", 3)
        assert len(ask(teacher, 7)) == 7
        assert wire.steps.count(CREATE) == 2 + 3
        monkeypatch.setattr(batch_module, "MOST_BYTES", 500)
        assert len(ask(teacher, 4)) == 4
        assert wire.steps.count(CREATE) == 5 + 2
        assert server.books.billed == 3 + 7 + 4


def test_lines_that_fail_are_told_at_no_charge_and_missing_ones_are_lost() -> None:
    plan = BatchPlan(failing={0: 503, 4: 400}, missing=[2])
    with ChaosTeacher(batches=[plan]) as server, opened(server) as (teacher, _):
        replies = {reply.request: reply for reply in ask(teacher, 6)}
        assert sum(reply.charge.money for reply in replies.values()) == pytest.approx(server.books.money)
        assert server.books.billed == 3
    by_number = [replies[request(n).key] for n in range(6)]
    wanted = ["failed", "ok", "lost", "ok", "rejected", "ok"]
    assert [reply.outcome.value for reply in by_number] == wanted
    assert by_number[0].reason == "Error code: 503 - This request of the batch failed."
    assert [reply.charge.calls for reply in by_number] == [1, 1, 0, 1, 1, 1]


def test_failures_are_spread_among_the_good_ones(tmp_path: Path) -> None:
    plan = BatchPlan(failing={n: 500 for n in range(6, 18)})
    with ChaosTeacher(batches=[plan]) as server, opened(server) as (teacher, _):
        told = buy(tmp_path, teacher, 20)
    assert [told[n].outcome is ReplyOutcome.FAILED for n in range(20)] == [6 <= n < 18 for n in range(20)]


@pytest.mark.parametrize("plan", [BatchPlan(missing=[0, 2]), BatchPlan(expires_after=2), BatchPlan(expires_after=0)])
def test_what_was_not_worked_off_is_asked_once_more(tmp_path: Path, plan: BatchPlan) -> None:
    with ChaosTeacher(batches=[plan]) as server, opened(server) as (teacher, wire):
        told = buy(tmp_path, teacher, 5)
        assert billed(server, 5) == [1] * 5
        assert spent(tmp_path) == pytest.approx(server.books.money)
        assert wire.steps.count(CREATE) == 2
    assert all(reply.outcome is ReplyOutcome.OK for reply in told.values())
    with Ledger(tmp_path, write=False) as ledger:
        lost = [event.payload for event in ledger.events(Kind.LOST)]
        assert {reply["charge"]["money"] for reply in lost} == {0.0}
        assert all(reply["reason"] for reply in lost)


def test_what_is_not_worked_off_twice_fails_at_no_charge(tmp_path: Path) -> None:
    plans = [BatchPlan(expires_after=3), BatchPlan(expires_after=0)]
    with ChaosTeacher(batches=plans) as server, opened(server) as (teacher, _):
        told = buy(tmp_path, teacher, 5)
        assert spent(tmp_path) == pytest.approx(server.books.money)
    failed = [reply for reply in told.values() if reply.outcome is ReplyOutcome.FAILED]
    assert len(failed) == 2
    assert all("window expired" in reply.reason and "twice" in reply.reason for reply in failed)


def test_a_batch_that_fails_validation_is_told_and_asked_anew_later(tmp_path: Path) -> None:
    with ChaosTeacher(batches=[BatchPlan(fails=True)]) as server:
        with opened(server) as (teacher, _), pytest.raises(TeacherError, match="Enqueued token limit reached"):
            buy(tmp_path, teacher, 3)
        with opened(server) as (teacher, _):
            told = buy(tmp_path, teacher, 3)
        assert billed(server, 3) == [1] * 3
    assert all(reply.outcome is ReplyOutcome.OK for reply in told.values())


def test_what_somebody_cancelled_is_not_asked_again_at_once(tmp_path: Path) -> None:
    told: dict[int, Reply] = {}
    with ChaosTeacher() as server:

        def before(_: int, step: str) -> None:
            if step.startswith("GET /v1/batches/") and polls.pop():
                httpx2.post(f"{server.base_url}/batches/batch_000000/cancel", trust_env=False).raise_for_status()

        polls = [False] * 9 + [True, False, False]  # taken from the end: at the third poll
        with opened(server, before=before) as (teacher, _), pytest.raises(TeacherError, match="was cancelled with 3 "):
            buy(tmp_path, teacher, 6, told=told)
        assert len(told) == server.books.billed == 3
        with opened(server) as (teacher, _):
            again = buy(tmp_path, teacher, 6)
        assert billed(server, 6) == [1] * 6
        assert spent(tmp_path) == pytest.approx(server.books.money)
    assert all(reply.outcome is ReplyOutcome.OK for reply in again.values())


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_cap_holds_and_the_books_add_up(tmp_path: Path, share: float) -> None:
    with ChaosTeacher() as server, opened(server) as (teacher, _):
        buy(tmp_path / "whole", teacher, 60)
    cap = share * spent(tmp_path / "whole")
    plans = [BatchPlan(failing={1: 500}, missing=[2]), BatchPlan(expires_after=2)]
    with ChaosTeacher(batches=plans) as server, opened(server) as (teacher, _):
        told = buy(tmp_path / "run", teacher, 60, Budget(money=cap))
        assert cap - teacher.worst_case(request(59)).money <= spent(tmp_path / "run") <= cap
        assert spent(tmp_path / "run") == pytest.approx(server.books.money)
    assert len(told) == 60
    assert {reply.reason for reply in told.values() if reply.outcome is ReplyOutcome.BUDGET} != set()


def test_text_that_is_not_unicode_fails_alone() -> None:
    with ChaosTeacher() as server, opened(server) as (teacher, _):
        wrong = request(9, messages=(Message(role="user", content="\ud800"),))
        found = outcomes(list(teacher.ask([wrong, request(0)])))
    assert found == {wrong.key: ReplyOutcome.FAILED, request(0).key: ReplyOutcome.OK}


def test_a_model_that_wants_other_words_is_asked_again_with_them() -> None:
    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        if not step.endswith("/content") or b"This request of the batch failed." not in content:
            return None
        told = next(complaints)
        return httpx2.Response(200, content=content.replace(b"This request of the batch failed.", told))

    complaints = iter([b"Use 'max_completion_tokens' instead.", b"'temperature' does not support 0 here."])
    plans = [BatchPlan(failing={n: 400 for n in range(6)})] * 2
    with ChaosTeacher(batches=plans) as server, opened(server, after=after) as (teacher, wire):
        replies = ask(teacher, 6)
        sent = [json.loads(text)["body"] for text in uploaded(server, "file-000004").splitlines()]
        assert wire.steps.count(CREATE) == 3
        assert server.books.billed == 6
    assert {reply.outcome for reply in replies} == {ReplyOutcome.OK}
    assert {reply.reason for reply in replies} == {"the endpoint turned down: max_tokens, sampling"}
    assert all("max_completion_tokens" in one and not {"max_tokens", "temperature"} & {*one} for one in sent)


def uploaded(server: ChaosServer, file_id: str) -> str:
    return httpx2.get(f"{server.base_url}/files/{file_id}/content", trust_env=False).text


def test_a_batch_that_was_handed_over_is_another_runs_only_where_the_record_is_lost(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        with opened(server) as (teacher, _):
            buy(tmp_path / "a", teacher, 4)
        with opened(server) as (teacher, _):
            buy(tmp_path / "b", teacher, 4)
        assert billed(server, 4) == [2] * 4
        (cache_folder() / FILE).unlink()
        with opened(server) as (teacher, wire):
            told = buy(tmp_path / "c", teacher, 5)
        assert billed(server, 5) == [2] * 4 + [1]
        assert wire.steps.count(CREATE) == 1
    assert all(reply.outcome is ReplyOutcome.OK for reply in told.values())


def test_batches_of_another_teacher_are_left_alone() -> None:
    def before(_: int, step: str) -> None:
        if step.endswith("/content"):
            raise Killed

    with ChaosTeacher() as server:
        with opened(server, before=before) as (teacher, _):
            teacher._endpoint._id = "openai:another"
            with pytest.raises(Killed):
                ask(teacher, 2)
        with opened(server) as (teacher, wire):
            ask(teacher, 2)
        assert billed(server, 2) == [2, 2]
        assert wire.steps[:3] == [LIST, UPLOAD, CREATE]


def test_the_key_is_in_no_error() -> None:
    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        error = {"error": {"message": f"you sent {KEY}"}}
        return httpx2.Response(403, json=error) if step == UPLOAD else None

    refused = pytest.raises(TeacherError, match=r"403.*\[key\]")
    with ChaosTeacher() as server, opened(server, after=after) as (teacher, _), refused as caught:
        ask(teacher, 1)
    assert KEY not in str(caught.value)
