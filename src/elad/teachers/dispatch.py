"""Work done by threads, as many at once as a pace allows, over a source that is drawn from lazily."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

from elad.errors import TeacherError
from elad.interrupt import SLICE_SECONDS, stopping

A = TypeVar("A")
B = TypeVar("B")


class Paced(Protocol):
    """Who says how many may run; see `Pace`."""

    def room(self, running: int) -> int: ...

    @property
    def hold_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Later:
    """What work returns that could not be done now: the item is worked again when there is room.

    It is worked again at once when the user stops, so that work can say what is to become of it.
    """

    behind: bool = False
    """Not before the source gives nothing more: others may fare better."""


def in_flight(work: Callable[[A], B | TeacherError | Later], source: Iterable[A | None], pace: Paced) -> Iterator[B]:
    """Results as they are ready; no more items are drawn and not yet yielded than the pace has room for.

    None is drawn while a result is ready: what has come is safe before more is asked. The source is drawn from in the
    caller's thread, and only after the last result was taken, so that it may count what a result cost before it gives
    the next item. It gives None when it can give nothing before another result was taken; None while nothing is under
    way is the end. Closing the iterator draws no more. The threads are daemons: an interrupted program does not wait
    for a slow endpoint.

    Raises: TeacherError when `work` returned one, after the results still in flight; whatever `work` raised.
    """
    return _Flight(work, source, pace).results()


class _Flight(Generic[A, B]):
    def __init__(self, work: Callable[[A], B | TeacherError | Later], source: Iterable[A | None], pace: Paced) -> None:
        self._work = work
        self._source = iter(source)
        self._pace = pace
        self._again: deque[A] = deque()
        self._behind: deque[A] = deque()
        self._ready: SimpleQueue[tuple[A, B | TeacherError | Later | BaseException]] = SimpleQueue()
        self._running = 0
        self._dry = False
        """The source gave None when it was last asked."""
        self._trouble: TeacherError | None = None

    def results(self) -> Iterator[B]:
        while True:
            self._start_all()
            if not self._running and (self._trouble or (self._dry and not self._again and not self._behind)):
                break
            hold = self._pace.hold_seconds
            try:
                item, result = self._ready.get(timeout=None if self._running and not hold else min(hold, SLICE_SECONDS))
            except Empty:
                continue
            self._running -= 1
            if isinstance(result, Later):
                (self._behind if result.behind else self._again).append(item)
            elif isinstance(result, TeacherError):
                self._trouble = self._trouble or result
            elif isinstance(result, BaseException):
                raise result
            else:
                yield result
                self._dry = False  # what was told may have made more to do, also while the pace gives no room
        if self._trouble:
            raise self._trouble

    def _start_all(self) -> None:
        while self._ready.empty() and not self._trouble and (stopping() or self._pace.room(self._running) > 0):
            item = self._again.popleft() if self._again else next(self._source, None)
            self._dry = item is None
            if item is None and self._behind:
                item = self._behind.popleft()
            if item is None:
                return
            self._running += 1
            threading.Thread(target=self._run, args=(item,), daemon=True, name="elad-ask").start()

    def _run(self, item: A) -> None:
        try:
            self._ready.put((item, self._work(item)))
        except BaseException as error:  # carried to the caller's thread, which raises it
            self._ready.put((item, error))
