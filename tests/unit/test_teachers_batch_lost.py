"""Batches of a session that was killed, whose results are damaged or gone: what was billed is counted."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from batch_kit import (
    CREATE,
    DAMAGES,
    HTML,
    INPUT,
    OUTPUT,
    POLL,
    Killed,
    billed,
    buy,
    lines_changed,
    opened,
    raising_at_step,
    request,
    spent,
    without_body,
)

from elad.errors import TeacherError
from elad.ledger.events import Ledger
from elad.ledger.reconcile import reconcile
from elad.outcomes import ReplyOutcome
from elad.testing import BatchPlan, ChaosServer, ChaosTeacher


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
