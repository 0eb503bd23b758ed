"""People as the teacher: requests wait in the ledger until somebody answers them in the review page."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from elad.interrupt import SLICE_SECONDS, stopping
from elad.outcomes import Purpose
from elad.records import Charge, Reply, Request
from elad.teachers.local import ONE_CALL, said

__all__ = ["Human"]

_SERVES = frozenset(Purpose) - {Purpose.ROLLOUT}
"""Whoever answers may see the gold answer, so that where they get to says nothing about the steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Human:
    """Whoever answers in the page of `elad review`, which may run beside the run or come later.

    All that a round asks is asked at once, and the run waits; stopped and taken up again, it asks the same. An answer
    costs one call and the time that it took; it is read and guarded as a model's is.
    """

    def open(self) -> "Asked":
        """The teacher; it waits in vain until it is told where answers are found."""
        return Asked()


class Asked:
    """The teacher, waiting."""

    id = "human"
    serves = _SERVES
    priced = True
    repeatable = True
    way = "review page"
    scope = None

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._answer: Callable[[str], Mapping[str, Any] | None] = lambda key: None
        self._note: Callable[[str], None] = lambda text: None

    def attend(self, answer: Callable[[str], Mapping[str, Any] | None], note: Callable[[str], None]) -> None:
        self._answer = answer
        self._note = note

    def worst_case(self, request: Request) -> Charge:
        return ONE_CALL

    def lost(self, request: Request) -> bool | None:
        return None

    def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        source, open_ = iter(requests), dict[str, Request]()
        told = False
        while True:
            while (request := next(source, None)) is not None:
                open_[request.key] = request
            if not open_:
                return
            answered = [reply for request in open_.values() if (reply := self._reply(request))]
            for reply in answered:
                del open_[reply.request]
                yield reply
            if not answered:
                if stopping():
                    return  # what is open is found again by the next session
                if not told:
                    self._note(f"{len(open_)} questions wait for people: answer them in the page of `elad review`")
                    told = True
                self._sleep(SLICE_SECONDS)

    def close(self) -> None:
        pass

    def _reply(self, request: Request) -> Reply | None:
        answer = self._answer(request.key)
        if answer is None:
            return None
        return said(request, self.id, answer["text"], Charge(calls=1, seconds=answer["seconds"]))
