import threading
from collections.abc import Generator, Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import TeacherError
from elad.teachers.dispatch import in_flight


@given(items=st.lists(st.integers(), max_size=30), limit=st.integers(1, 5))
def test_each_item_is_worked_once(items: list[int], limit: int) -> None:
    assert sorted(in_flight(lambda n: n + 1, items, limit)) == sorted(n + 1 for n in items)


@given(limit=st.integers(1, 6), taken=st.integers(1, 10))
def test_no_item_is_drawn_before_it_can_be_worked(limit: int, taken: int) -> None:
    source = iter(range(30))
    results = cast(Generator[int, None, None], in_flight(lambda n: n, source, limit))
    for _ in range(taken):
        next(results)
    results.close()
    assert 30 - len(list(source)) == taken - 1 + limit


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

    assert len(list(in_flight(work, range(12), 3))) == 12
    assert most == 3


def test_the_source_learns_of_results_before_it_gives_more() -> None:
    seen: list[int] = []

    def source() -> Iterator[int]:
        for n in range(6):
            assert len(seen) >= n - 1
            yield n

    for result in in_flight(lambda n: n, source(), 2):
        seen.append(result)
    assert len(seen) == 6


def test_results_in_flight_come_before_the_error() -> None:
    first_failed = threading.Event()

    def work(n: int) -> int | TeacherError:
        if n == 1:
            first_failed.set()
            return TeacherError("gone")
        first_failed.wait(timeout=30)
        return n

    source = iter(range(9))
    results = in_flight(work, source, 3)
    seen: list[int] = []
    with pytest.raises(TeacherError, match="gone"):
        seen.extend(results)
    drawn = 9 - len(list(source))
    assert len(seen) == drawn - 1


def test_a_fault_of_the_work_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_flight(lambda n: 1 // n, [1, 0], 2))
