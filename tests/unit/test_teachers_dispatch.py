import threading
from collections.abc import Callable, Generator, Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import TeacherError
from elad.teachers import dispatch
from elad.teachers.dispatch import Later, in_flight


class Room:
    """A pace that knows its limit and never holds."""

    hold_seconds = 0.0

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def room(self, running: int) -> int:
        return self._limit - running


@given(items=st.lists(st.integers(), max_size=30), limit=st.integers(1, 5))
def test_each_item_is_worked_once(items: list[int], limit: int) -> None:
    assert sorted(in_flight(lambda n: n + 1, items, Room(limit))) == sorted(n + 1 for n in items)


@given(limit=st.integers(1, 6), taken=st.integers(1, 10))
def test_no_item_is_drawn_before_it_can_be_worked(limit: int, taken: int) -> None:
    source = iter(range(30))
    results = cast(Generator[int, None, None], in_flight(lambda n: n, source, Room(limit)))
    for _ in range(taken):
        next(results)
    results.close()
    assert taken <= 30 - len(list(source)) <= taken - 1 + limit


class Inline:
    """A thread that has done its work when it is started."""

    def __init__(self, target: Callable[..., None], args: tuple[object, ...], **_: object) -> None:
        self._work = lambda: target(*args)

    def start(self) -> None:
        self._work()


def test_a_result_that_is_there_is_handed_on_before_more_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else, where replies come faster than requests are begun, a window's worth of them is lost with the process."""
    monkeypatch.setattr(threading, "Thread", Inline)
    drawn: list[int] = []

    def source() -> Iterator[int]:
        for n in range(20):
            drawn.append(n)
            yield n

    for place, _ in enumerate(in_flight(lambda n: n, source(), Room(5))):
        assert len(drawn) == place + 1


def test_at_most_limit_run_at_once() -> None:
    lock, running, most = threading.Lock(), 0, 0
    met = threading.Barrier(3)

    def work(n: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        met.wait(timeout=30)
        with lock:
            running -= 1
        return n

    assert len(list(in_flight(work, range(12), Room(3)))) == 12
    assert most == 3


def test_the_source_learns_of_results_before_it_gives_more() -> None:
    seen: list[int] = []

    def source() -> Iterator[int]:
        for n in range(6):
            assert len(seen) >= n - 1
            yield n

    for result in in_flight(lambda n: n, source(), Room(2)):
        seen.append(result)
    assert len(seen) == 6


class Holding(Room):
    """A pace that holds everything once, after the first result."""

    def __init__(self) -> None:
        super().__init__(2)
        self.holds = False

    @property
    def hold_seconds(self) -> float:
        return 1e-6 if self.holds else 0.0

    def room(self, running: int) -> int:
        held, self.holds = self.holds, False
        return 0 if held else super().room(running)


def test_a_source_that_waited_for_a_result_is_asked_again_after_a_hold() -> None:
    pace, told = Holding(), list[int]()

    def source() -> Iterator[int | None]:
        yield 0
        while not told:
            yield None
        yield 1

    for result in in_flight(lambda n: n, source(), pace):
        pace.holds = not told
        told.append(result)
    assert told == [0, 1]


def test_results_in_flight_come_before_the_error() -> None:
    first_failed = threading.Event()

    def work(n: int) -> int | TeacherError:
        if n == 1:
            first_failed.set()
            return TeacherError("gone")
        first_failed.wait(timeout=30)
        return n

    source = iter(range(9))
    results = in_flight(work, source, Room(3))
    seen: list[int] = []
    with pytest.raises(TeacherError, match="gone"):
        seen.extend(results)
    drawn = 9 - len(list(source))
    assert len(seen) == drawn - 1


def test_a_fault_of_the_work_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_flight(lambda n: 1 // n, [1, 0], Room(2)))


@given(items=st.lists(st.integers(0, 99), unique=True, max_size=20), limit=st.integers(1, 4), data=st.data())
def test_what_cannot_be_worked_now_is_worked_later(items: list[int], limit: int, data: st.DataObject) -> None:
    refusals = {item: data.draw(st.integers(0, 3)) for item in items}
    lock = threading.Lock()

    def work(n: int) -> int | Later:
        with lock:
            refusals[n] -= 1
            return Later() if refusals[n] >= 0 else n

    assert sorted(in_flight(work, items, Room(limit))) == sorted(items)
    assert set(refusals.values()) <= {-1}


@given(first=st.integers(1, 6), more=st.integers(0, 6), limit=st.integers(1, 4))
def test_a_source_that_waits_for_results_is_asked_again(first: int, more: int, limit: int) -> None:
    seen: list[int] = []
    left = list(range(first))
    expected = first + min(first, more)

    def source() -> Iterator[int | None]:
        while left or len(seen) < expected:
            yield left.pop() if left else None

    for result in in_flight(lambda n: n, source(), Room(limit)):
        seen.append(result)
        if result < more:
            left.append(100 + result)
    assert len(seen) == expected


def test_a_hold_is_waited_for_with_nothing_under_way() -> None:
    class Held(Room):
        looks = 0

        @property
        def hold_seconds(self) -> float:
            self.looks += 1
            return 0.001 if self.looks < 3 else 0.0

        def room(self, running: int) -> int:
            return super().room(running) if self.looks >= 3 else 0

    assert list(in_flight(lambda n: n, [1, 2], Held(1))) == [1, 2]


def test_what_is_put_off_behind_waits_until_the_source_gives_nothing_more() -> None:
    order: list[int] = []

    def work(n: int) -> int | Later:
        order.append(n)
        return Later(behind=True) if n == 0 and order.count(0) == 1 else n

    assert sorted(in_flight(work, range(4), Room(1))) == [0, 1, 2, 3]
    assert order == [0, 1, 2, 3, 0]


def test_when_the_user_stops_what_is_put_off_is_worked_although_the_pace_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held(Room):
        def room(self, running: int) -> int:
            return 0 if self.hold_seconds else super().room(running)

    def work(n: int) -> int | Later:
        if stopped:
            return -n
        stopped.append(True)
        pace.hold_seconds = 3600.0
        return Later(behind=True)

    stopped: list[bool] = []
    pace = Held(1)
    monkeypatch.setattr(dispatch, "stopping", lambda: bool(stopped))
    assert list(in_flight(work, [5], pace)) == [-5]
