"""Asking by the batch while processes are killed and the endpoint answers badly: nothing is lost, or paid twice."""

import json
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx2
import pytest
from batch_kit import CREATE, LIST, UPLOAD, Killed, billed, buy, opened, request, spent

from elad.errors import TeacherError
from elad.ledger.account import Account
from elad.ledger.budget import Budget
from elad.ledger.events import Kind, Ledger
from elad.ledger.reconcile import reconcile
from elad.ledger.trail import settle_earlier
from elad.outcomes import ReplyOutcome
from elad.purchase import Purchase
from elad.records import Charge, Reply, Request, to_json
from elad.teachers import batch_api
from elad.testing import BatchPlan, ChaosServer, ChaosTeacher

POLL = "GET /v1/batches/batch_000000"
INPUT, OUTPUT = "GET /v1/files/file-000000/content", "GET /v1/files/file-000001/content"
STEPS = [LIST, UPLOAD, CREATE, POLL, OUTPUT]
HTML = b"<html><body>502 Bad Gateway</body></html>"


def raising_at(number: int) -> Callable[..., None]:
    def strike(at: int, *_: object) -> None:
        if at == number:
            raise Killed

    return strike


@pytest.mark.parametrize("after", [False, True])
def test_killed_before_and_after_every_step_nothing_is_paid_twice(tmp_path: Path, after: bool) -> None:
    plan = BatchPlan(failing={1: 500}, missing=[2], validating=0, finalizing=0)
    survived = 0
    for number in range(99):
        with ChaosTeacher(batches=[plan]) as server:
            strike = {"after" if after else "before": raising_at(number)}
            folder = tmp_path / str(number)
            try:
                with opened(server, **strike) as (teacher, _):
                    buy(folder, teacher, 6)
                survived += 1
            except Killed:
                pass
            with opened(server) as (teacher, _):
                told = buy(folder, teacher, 6)
            good = [n for n in range(6) if told[n].outcome is ReplyOutcome.OK]
            assert len(good) >= 5
            assert billed(server, 6) == [n in good for n in range(6)]
            assert spent(folder) == pytest.approx(server.books.money)
        if survived:
            assert number == 14  # list, twice upload and create, six polls, twice the output and once the error file
            return


def test_killed_while_replies_are_handed_over(tmp_path: Path) -> None:
    class Full(dict[int, Reply]):
        def __setitem__(self, key: int, value: Reply) -> None:
            if len(self) == 3:
                raise Killed
            super().__setitem__(key, value)

    with ChaosTeacher() as server:
        with opened(server) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path, teacher, 8, told=Full())
        with opened(server) as (teacher, wire):
            told = buy(tmp_path, teacher, 9)
        assert wire.steps.count(CREATE) == 1
        assert billed(server, 9) == [1] * 9
        assert spent(tmp_path) == pytest.approx(server.books.money)
    assert all(reply.outcome is ReplyOutcome.OK for reply in told.values())


def raising_at_step(wanted: str) -> Callable[[int, str], None]:
    def strike(_: int, step: str) -> None:
        if step.startswith(wanted):
            raise Killed

    return strike


def test_batches_of_several_killed_sessions_are_found(tmp_path: Path) -> None:
    with ChaosTeacher(batches=[BatchPlan(in_progress=99)]) as server:
        for count in (3, 6):
            strike = raising_at_step(f"GET /v1/batches/batch_00000{count // 6}")
            with opened(server, before=strike) as (teacher, _), pytest.raises(Killed):
                list(teacher.ask([request(n) for n in range(count - 3, count)]))
        for _ in range(9):
            httpx2.get(f"{server.base_url}/batches/batch_000001", trust_env=False)
        with opened(server) as (teacher, wire):
            told = buy(tmp_path, teacher, 8)
        assert wire.steps.count(CREATE) == 1
        assert billed(server, 8) == [1] * 8
        assert spent(tmp_path) == pytest.approx(server.books.money)
    assert list(told) == [3, 4, 5, 0, 1, 2, 6, 7]  # what is over, what is under way, what is new


def test_what_is_under_way_counts_against_the_cap_of_the_next_session(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        with opened(server, before=raising_at_step(POLL)) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path, teacher, 4)
        with opened(server) as (teacher, _), Ledger(tmp_path, write=True) as ledger:
            worst = sum(teacher.worst_case(request(n)).money for n in range(4))
            account = Account(Budget(money=worst), spent=ledger.spent(), elapsed=lambda: 0.0, warn=lambda _: None)
            assert settle_earlier(ledger, account, teacher, 0) == (4, 0)
            told: list[tuple[Request, Reply]] = []
            purchase = Purchase(teacher, ledger, account, number=1)
            purchase.pay(iter([request(9)]), lambda *one: told.append(one))
            assert told[0][1].outcome is ReplyOutcome.BUDGET
            purchase.pay(iter([request(n) for n in range(4)]), lambda *one: told.append(one))
        assert {reply.outcome for _, reply in told[1:]} == {ReplyOutcome.OK}
        assert billed(server, 4) == [1] * 4


def test_what_an_earlier_session_sent_live_is_not_looked_for_in_batches(tmp_path: Path) -> None:
    live, reserved = Charge(calls=1, money=0.5), Charge(calls=1, money=0.25)
    with ChaosTeacher() as server, opened(server) as (teacher, _), Ledger(tmp_path, write=True) as ledger:
        for name, charge, way in (("a#0", live, f"live at {server.base_url}"), ("b#0", reserved, teacher.way)):
            event = {"request": to_json(request(0)), "reserved": to_json(charge), "way": way}
            ledger.append(Kind.REQUEST, [(name, event)], round=1)
        account = Account(Budget(money=1.0), spent=ledger.spent(), elapsed=lambda: 0.0, warn=lambda _: None)
        assert settle_earlier(ledger, account, teacher, 0) == (1, 1)
        assert (account.spent.money, ledger.has(Kind.LOST, "a#0"), ledger.has(Kind.LOST, "b#0")) == (0.5, True, False)


def test_ctrl_c_leaves_the_batch_at_the_endpoint(tmp_path: Path) -> None:
    said: list[str] = []
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 15:
            signal.raise_signal(signal.SIGINT)

    with ChaosTeacher() as server:
        with opened(server, sleep) as (teacher, _), Ledger(tmp_path, write=True) as ledger:
            account = Account(Budget(), spent=ledger.spent(), elapsed=lambda: 0.0, warn=lambda _: None)
            purchase = Purchase(teacher, ledger, account, number=1, note=said.append)
            with pytest.raises(KeyboardInterrupt):
                purchase.pay(iter([request(n) for n in range(3)]), lambda *_: None)
        assert len(slept) == 15
        assert said[-1] == "3 replies are still to come; the same command picks them up later"
        with opened(server) as (teacher, wire):
            told = buy(tmp_path, teacher, 3)
        assert CREATE not in wire.steps
        assert billed(server, 3) == [1] * 3
    assert len(told) == 3


def test_after_ctrl_c_no_batch_is_handed_in(tmp_path: Path) -> None:
    def before(_: int, step: str) -> None:
        if step in (LIST, UPLOAD):
            struck.append(step)
            signal.raise_signal(signal.SIGINT)

    struck: list[str] = []
    with ChaosTeacher() as server:
        with opened(server, before=before) as (teacher, wire), pytest.raises(KeyboardInterrupt):
            buy(tmp_path, teacher, 3)
        assert wire.steps == [LIST]
        with opened(server) as (teacher, _):
            buy(tmp_path, teacher, 3)
        assert billed(server, 3) == [1] * 3


def answered_once(wanted: str, answer: Callable[[], httpx2.Response]) -> Callable[..., httpx2.Response | None]:
    left = [True]

    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        return answer() if step == wanted and left and left.pop() else None

    return after


def broken() -> httpx2.Response:
    raise httpx2.ReadError("the connection broke")


PASSING: dict[str, Callable[[], httpx2.Response]] = {
    "500": lambda: httpx2.Response(500, json={"error": {"message": "oops"}}),
    "429": lambda: httpx2.Response(429, json={"error": {"message": "slow"}}, headers={"retry-after": "7"}),
    "html": lambda: httpx2.Response(200, content=HTML, headers={"content-type": "text/html"}),
    "broken": broken,
    "half": lambda: httpx2.Response(200, content=b'{"id": "batch_'),
    "empty": lambda: httpx2.Response(200, content=b""),
}


@pytest.mark.parametrize("trouble", PASSING)
@pytest.mark.parametrize("step", STEPS)
def test_a_passing_trouble_at_any_step_costs_nothing(tmp_path: Path, step: str, trouble: str) -> None:
    with ChaosTeacher() as server, opened(server, after=answered_once(step, PASSING[trouble])) as (teacher, wire):
        told = buy(tmp_path, teacher, 4)
        assert billed(server, 4) == [1] * 4
        assert spent(tmp_path) == pytest.approx(server.books.money)
        assert wire.steps.count(CREATE) == 1
    assert {reply.outcome for reply in told.values()} == {ReplyOutcome.OK}


LASTING: dict[str, Any] = {
    "500": httpx2.Response(500, json={"error": {"message": "oops"}}),
    "400": httpx2.Response(400, json={"error": {"message": "no"}}),
    "html": httpx2.Response(200, content=HTML, headers={"content-type": "text/html"}),
    "half": httpx2.Response(200, content=b'{"id": "batch_', headers={"content-type": "application/json"}),
    "list": httpx2.Response(200, json=[1, None, {"data": []}]),
    "nothing": httpx2.Response(200, json={"data": None, "id": "", "status": None, "object": {}}),
    "not utf-8": httpx2.Response(200, content=b'{"id": "\xff\xfe", "status": "completed"}'),
    "deep": httpx2.Response(200, content=b'{"id":' + b"[" * 100_000),
}


@pytest.mark.parametrize("trouble", LASTING)
@pytest.mark.parametrize("step", STEPS)
def test_a_lasting_trouble_at_any_step_is_an_error_and_a_later_session_pays_once(
    tmp_path: Path, step: str, trouble: str
) -> None:
    def after(_: int, taken: str, content: bytes) -> httpx2.Response | None:
        answer = LASTING[trouble]
        return httpx2.Response(answer.status_code, content=answer.content) if taken == step else None

    with ChaosTeacher() as server:
        made = step == CREATE and trouble != "400"  # it is found in the list
        error = nullcontext() if made else pytest.raises(TeacherError, match=server.base_url)
        with opened(server, after=after) as (teacher, _), error:
            buy(tmp_path, teacher, 4)
        with opened(server) as (teacher, _):
            told = buy(tmp_path, teacher, 4)
        assert billed(server, 4) == [1] * 4
        assert spent(tmp_path) == pytest.approx(server.books.money)
    assert {reply.outcome for reply in told.values()} == {ReplyOutcome.OK}


def lines_changed(change: Callable[[list[bytes]], list[bytes]]) -> Callable[..., httpx2.Response | None]:
    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        if step != OUTPUT:
            return None
        return httpx2.Response(200, content=b"\n".join(change(content.splitlines())))

    return after


def renamed(line: bytes, name: str) -> bytes:
    return json.dumps(json.loads(line) | {"custom_id": name}).encode()


def without_body(line: bytes) -> bytes:
    return json.dumps(json.loads(line) | {"response": {"status_code": 200, "body": {"choices": "x" * 9}}}).encode()


DAMAGES: list[tuple[Callable[[list[bytes]], list[bytes]], int]] = [
    (lambda lines: [*lines[:-1], lines[-1][:50]], 1),
    (lambda lines: [*lines, b"\xff\xfe\x00", b"{}", b"7", b"[" * 100_000], 0),
    (lambda lines: [*lines, renamed(lines[0], "nobody")], 0),
    (lambda lines: [renamed(lines[0], "nobody"), *lines[1:]], 1),
    (lambda lines: [*lines, *lines], 0),
    (lambda lines: [renamed(lines[0], json.loads(lines[1])["custom_id"]), *lines[1:]], 1),
    (lambda lines: [lines[0].replace(b'"content":"', b'"content":"\xff'), *lines[1:]], 1),
    (lambda lines: lines[2:], 2),
    (lambda lines: [without_body(lines[0]), *lines[1:]], 1),
]
"""What may become of the results of six, and of how many the reply is gone then."""


@pytest.mark.parametrize(("change", "bad"), DAMAGES)
def test_of_damaged_results_the_good_ones_are_used_and_the_others_charged(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], bad: int
) -> None:
    with ChaosTeacher() as server, opened(server, after=lines_changed(change)) as (teacher, wire):
        told = buy(tmp_path, teacher, 6)
        failed = [n for n in told if told[n].outcome is ReplyOutcome.FAILED]
        assert len(failed) == bad
        assert wire.steps.count(CREATE) == 1
        assert spent(tmp_path) >= server.books.money * (1 - 1e-9)
    for n in range(6):
        charge = told[n].charge
        assert charge.estimated == (n in failed)
        assert told[n].outcome in (ReplyOutcome.OK, ReplyOutcome.FAILED)


@pytest.mark.parametrize("status", ["IN_PROGRESS", "paused"])
def test_a_batch_that_never_ends_is_given_up_for_now(status: str) -> None:
    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        return httpx2.Response(200, json=json.loads(content) | {"status": status}) if step == POLL else None

    slept: list[float] = []
    given_up = pytest.raises(TeacherError, match="after 26 hours")
    with ChaosTeacher() as server, opened(server, slept.append, after=after) as (teacher, wire), given_up:
        list(teacher.ask([request(0)]))
    polls = wire.steps.count(POLL)
    assert 26 * 3600 <= sum(slept) <= 26.1 * 3600
    assert sum(slept) / polls > 0.99 * batch_api.MOST_PAUSE_SECONDS


def test_what_is_in_an_earlier_batch_must_be_known(tmp_path: Path) -> None:
    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        return httpx2.Response(404, json={"error": {"message": "gone"}}) if step.endswith("0/content") else None

    with ChaosTeacher() as server:
        with opened(server, before=raising_at_step(POLL)) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path, teacher, 3)
        with (
            opened(server, after=after) as (teacher, _),
            pytest.raises(TeacherError, match="try again later"),
        ):
            buy(tmp_path, teacher, 3)
        assert server.books.billed == 0
        for _ in range(9):
            httpx2.get(f"{server.base_url}/batches/batch_000000", trust_env=False)
        with opened(server, after=after) as (teacher, _):
            buy(tmp_path, teacher, 3)
        assert billed(server, 3) == [1] * 3


def test_results_that_cannot_be_read_concern_those_who_asked_for_them(tmp_path: Path) -> None:
    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        return httpx2.Response(200, content=HTML) if step == OUTPUT else None

    with ChaosTeacher() as server:
        with opened(server, before=raising_at_step(OUTPUT)) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path, teacher, 3)
        with opened(server, after=after) as (teacher, _):
            assert [reply.outcome for reply in teacher.ask([request(7)])] == [ReplyOutcome.OK]
        unreadable = pytest.raises(TeacherError, match="results of batch batch_000000 cannot be read")
        with opened(server, after=after) as (teacher, _), unreadable:
            buy(tmp_path, teacher, 3)
        with opened(server) as (teacher, _):
            buy(tmp_path, teacher, 3)
        assert billed(server, 3) == [1] * 3


@pytest.mark.parametrize(("change", "bad"), DAMAGES)
def test_what_a_killed_session_paid_for_and_is_damaged_is_counted_and_asked_anew(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], bad: int
) -> None:
    with ChaosTeacher() as server:
        with opened(server, before=raising_at_step(OUTPUT)) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path, teacher, 6)
        with opened(server, after=lines_changed(change)) as (teacher, wire):
            told = buy(tmp_path, teacher, 6)
        assert (wire.steps.count(CREATE), sum(billed(server, 6))) == (bool(bad), 6 + bad)
        check(tmp_path, server, lost=bad)
    assert {reply.outcome for reply in told.values()} == {ReplyOutcome.OK}


def check(folder: Path, server: ChaosServer, lost: int) -> None:
    """All that was billed is counted, and the books add up."""
    assert spent(folder) >= server.books.money * (1 - 1e-9)
    with Ledger(folder, write=False) as ledger:
        found = reconcile(ledger)
    assert (found.open, found.lost) == ((), lost)
    assert [problem for problem in found.problems if "no session of this run knew" not in problem] == []


def gone(*names: str) -> Callable[..., httpx2.Response | None]:
    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        return httpx2.Response(404, json={"error": {"message": "gone"}}) if step in names else None

    return after


def test_results_that_are_gone_are_counted_and_asked_for_anew(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        with opened(server, before=raising_at_step(OUTPUT)) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path / "a", teacher, 12)
        with opened(server, after=gone(OUTPUT)) as (teacher, _):
            told = buy(tmp_path / "a", teacher, 12)
        assert billed(server, 12) == [2] * 12
        check(tmp_path / "a", server, lost=12)
        assert {reply.outcome for reply in told.values()} == {ReplyOutcome.OK}
        with opened(server) as (teacher, wire):
            buy(tmp_path / "b", teacher, 12)
        assert OUTPUT not in wire.steps


def test_what_another_run_has_lost_is_not_charged_to_this_one(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        with opened(server, before=raising_at_step(OUTPUT)) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path / "a", teacher, 3)
        before = server.books.money
        with opened(server, after=gone(OUTPUT)) as (teacher, _):
            told = buy(tmp_path / "b", teacher, 3)
        assert spent(tmp_path / "b") == pytest.approx(server.books.money - before)
    assert {reply.outcome for reply in told.values()} == {ReplyOutcome.OK}


@pytest.mark.parametrize("left", [gone(OUTPUT, INPUT), gone(INPUT)])
def test_a_batch_of_which_little_is_left_stops_nobody(
    tmp_path: Path, left: Callable[..., httpx2.Response | None]
) -> None:
    with ChaosTeacher() as server:
        with opened(server, before=raising_at_step(OUTPUT)) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path, teacher, 3)
        with opened(server, after=left) as (teacher, _):
            told = buy(tmp_path, teacher, 3)
    assert {reply.outcome for reply in told.values()} == {ReplyOutcome.OK}


def test_results_that_cannot_be_read_yet_are_no_loss_where_the_input_is_gone(tmp_path: Path) -> None:
    def after(at: int, step: str, content: bytes) -> httpx2.Response | None:
        return httpx2.Response(200, content=HTML) if step == OUTPUT else gone(INPUT)(at, step, content)

    with ChaosTeacher() as server:
        with opened(server, before=raising_at_step(OUTPUT)) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path, teacher, 3)
        with opened(server, after=after) as (teacher, _), pytest.raises(TeacherError, match="cannot be read"):
            buy(tmp_path, teacher, 3)
        with opened(server) as (teacher, _):
            buy(tmp_path, teacher, 3)
        assert billed(server, 3) == [1] * 3
        check(tmp_path, server, lost=0)


def test_what_is_damaged_in_a_batch_that_ends_now_is_counted_where_it_is_asked_for_later(tmp_path: Path) -> None:
    def spoilt(lines: list[bytes]) -> list[bytes]:
        return [without_body(line) for line in lines]

    with ChaosTeacher(batches=[BatchPlan(in_progress=3)]) as server:
        with opened(server, before=raising_at_step(POLL)) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path, teacher, 6)
        with opened(server, after=lines_changed(spoilt)) as (teacher, _):
            told = buy(tmp_path, teacher, 3)
            told |= buy(tmp_path, teacher, 6)
        assert [told[n].outcome for n in range(6)] == [ReplyOutcome.FAILED] * 3 + [ReplyOutcome.OK] * 3
        assert billed(server, 6) == [1] * 3 + [2] * 3
        check(tmp_path, server, lost=3)


def test_a_list_of_many_pages_is_read_as_far_as_it_is_bounded() -> None:
    entry = {"id": "batch_x", "status": "completed", "metadata": {"elad": "openai:another"}}

    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        data = [entry, {"id": "no status"}, 7, entry | {"id": str(next(ids))}]
        return httpx2.Response(200, json={"data": data, "has_more": True}) if step == LIST else None

    ids = iter(range(10_000))
    with ChaosTeacher() as server, opened(server, after=after) as (teacher, wire):
        assert len(list(teacher.ask([request(0)]))) == 1
    assert wire.steps.count(LIST) == 10


def test_an_endpoint_without_a_batch_api_says_so() -> None:
    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        return httpx2.Response(404, json={"error": {"message": "Invalid URL"}})

    told = pytest.raises(TeacherError, match=r"no batch API: teacher\.channel=live")
    with ChaosTeacher() as server, opened(server, after=after) as (teacher, _), told:
        list(teacher.ask([request(0)]))
