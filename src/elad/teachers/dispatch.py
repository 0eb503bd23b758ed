"""Work done by threads, a bounded number at once, over a source that is drawn from lazily."""

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

from elad.errors import TeacherError

A = TypeVar("A")
B = TypeVar("B")


def in_flight(work: Callable[[A], B | TeacherError], source: Iterable[A], limit: int) -> Iterator[B]:
    """Results as they are ready; at most `limit` items are drawn and not yet yielded.

    The source is drawn from in the caller's thread, and only after the last result was taken, so that a
    source may count what a result cost before it gives the next item. Closing the iterator draws
    no more. The threads are daemons: an interrupted program does not wait for a slow endpoint.

    Raises: TeacherError when `work` returned one, after the results still in flight; whatever `work` raised.
    """
    items = iter(source)
    ready: SimpleQueue[B | BaseException] = SimpleQueue()
    running = 0
    trouble: TeacherError | None = None

    def run(item: A) -> None:
        try:
            ready.put(work(item))
        except BaseException as error:  # carried to the caller's thread, which raises it
            ready.put(error)

    while True:
        for item in islice(items, 0 if trouble else limit - running):
            running += 1
            threading.Thread(target=run, args=(item,), daemon=True, name="elad-ask").start()
        if not running:
            break
        result = ready.get()
        running -= 1
        if isinstance(result, TeacherError):
            trouble = trouble or result
        elif isinstance(result, BaseException):
            raise result
        else:
            yield result
    if trouble:
        raise trouble
