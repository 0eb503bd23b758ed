"""What a batch of a killed session was paid for, and what of that cannot be had: it is counted, and asked anew."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from batch_kit import (
    CREATE,
    HTML,
    INPUT,
    LIST,
    OUTPUT,
    POLL,
    Killed,
    billed,
    buy,
    opened,
    raising_at_step,
    request,
    spent,
)

from elad.errors import TeacherError
from elad.ledger.events import Ledger
from elad.ledger.reconcile import reconcile
from elad.outcomes import ReplyOutcome
from elad.testing import BatchPlan, ChaosServer, ChaosTeacher


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


def test_a_batch_that_names_no_input_is_taken_up_by_its_results(tmp_path: Path) -> None:
    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        if step != LIST:
            return None
        listed = json.loads(content)
        for batch in listed["data"]:
            del batch["input_file_id"]
        return httpx2.Response(200, json=listed)

    slept: list[float] = []
    with ChaosTeacher() as server:
        with opened(server, before=raising_at_step(OUTPUT)) as (teacher, _), pytest.raises(Killed):
            buy(tmp_path, teacher, 3)
        with opened(server, slept.append, after=after) as (teacher, wire):
            buy(tmp_path, teacher, 3)
        assert (wire.steps, slept) == ([LIST, OUTPUT], [])
        check(tmp_path, server, lost=0)


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
