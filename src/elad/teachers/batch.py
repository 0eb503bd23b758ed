"""An endpoint that is asked by the batch: cheaper, and hours later."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from elad.errors import TeacherError
from elad.interrupt import Stopped
from elad.outcomes import Purpose, ReplyOutcome
from elad.records import Charge, Reply, Request
from elad.teachers.answers import answered, charged, unanswered
from elad.teachers.batch_desk import Desk, Posted
from elad.teachers.batch_lines import Refusal, input_line
from elad.teachers.endpoint import Concession, Endpoint

MOST_LINES = 50_000
MOST_BYTES = 200_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A request on its way into a batch."""

    request: Request
    line: bytes
    """Empty where it cannot be written."""
    fault: str
    """Why it cannot."""
    without: frozenset[Concession]
    """What it is asked without."""


class BatchTeacher:
    """A `Teacher` over the batch API of an OpenAI-compatible endpoint. One `ask` at a time, from one thread.

    `ask` draws all that its source can give, hands in as one batch what no earlier batch has, and yields the replies
    when the batches are over. When it is not to wait any longer (`interrupt.stopping`), it ends without the replies
    that are still to come: the batches go on, and the next session finds them (see `batch_desk`), so that nothing is
    paid for twice.

    A line that the endpoint did not work off, or says nothing of, is LOST at no charge, and FAILED at no charge
    when that happens to it again. Where results cannot be read, those that are missing are charged at the worst case;
    of an earlier session's, see `lost`.
    """

    def __init__(self, endpoint: Endpoint, sleep: Callable[[float], None] = time.sleep) -> None:
        """`endpoint` is one whose link charges by the batch."""
        self._endpoint = endpoint
        self._desk = Desk(endpoint, sleep)
        self._lost: set[str] = set()

    @property
    def id(self) -> str:
        return self._endpoint.id

    @property
    def serves(self) -> frozenset[Purpose]:
        return self._endpoint.serves

    @property
    def priced(self) -> bool:
        return self._endpoint.priced

    @property
    def repeatable(self) -> bool:
        return True

    @property
    def way(self) -> str:
        return self._endpoint.way

    def lost(self, request: Request) -> bool:
        return self._desk.lost(request.key)

    @property
    def scope(self) -> str | None:
        return self._endpoint.scope

    def worst_case(self, request: Request) -> Charge:
        return self._endpoint.worst_case(request)

    def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        source, held = iter(requests), deque[Request]()
        with suppress(Stopped):
            while wave := self._draw(source, held):
                yield from self._replies(wave, held)

    def close(self) -> None:
        self._endpoint.close()

    def _draw(self, source: Iterator[Request | None], held: deque[Request]) -> dict[str, _Drawn]:
        """What goes into one batch, by key: all that the source can give now, as far as a batch bears it.

        What does not fit is `held` for the next one.
        """
        wave: dict[str, _Drawn] = {}
        size = 0
        while len(wave) < MOST_LINES:
            request = held.popleft() if held else next(source, None)
            if request is None:
                break
            drawn = self._drawn(request)
            if request.key in wave or (wave and size + len(drawn.line) > MOST_BYTES):
                held.appendleft(request)
                break
            wave[request.key] = drawn
            size += len(drawn.line)
        return wave

    def _drawn(self, request: Request) -> _Drawn:
        self._endpoint.look_for_room(request)
        without = self._endpoint.conceded
        try:
            line, fault = input_line(request.key, self._endpoint.body(request, without)), ""
        except UnicodeEncodeError as error:
            line, fault = b"", str(error)
        return _Drawn(request=request, line=line, fault=fault, without=without)

    def _replies(self, wave: dict[str, _Drawn], held: deque[Request]) -> Iterator[Reply]:
        batches: dict[Posted, list[_Drawn]] = {}
        fresh: dict[str, _Drawn] = {}
        for key, drawn in wave.items():
            if drawn.fault:
                yield self._failed(drawn, drawn.fault)
            elif posted := self._desk.holding(key):
                batches.setdefault(posted, []).append(drawn)
            else:
                fresh[key] = drawn
        if fresh:
            batches[self._desk.post({key: drawn.line for key, drawn in fresh.items()})] = list(fresh.values())
        for posted in sorted(batches, key=lambda posted: not posted.batch.over):
            self._desk.wait(posted)
            replies = self._handed_over(posted, batches[posted], held)
            for reply in replies:
                yield reply
                posted.done(reply.request)
            self._desk.settle(posted)
            told = {reply.request for reply in replies} | {request.key for request in held}
            left = sum(drawn.request.key not in told for drawn in batches[posted])
            if left:
                which = self._endpoint.clean(posted.batch.id)[:80]
                raise TeacherError(
                    f"{self._endpoint.where}: batch {which} was cancelled with {left} requests not answered; the same "
                    "command asks them again"
                )

    def _handed_over(self, posted: Posted, asked: Sequence[_Drawn], held: deque[Request]) -> list[Reply]:
        """The replies to what was asked in a batch that is over; those that are to be asked with less are `held`.

        There is none to what was left when somebody cancelled the batch: whoever did that may not want it asked again.
        """
        results = posted.results
        good: list[Reply] = []
        bad: list[Reply] = []
        for drawn in asked:
            key = drawn.request.key
            if key in results.good:
                good.append(answered(self._endpoint, drawn.request, results.good[key], seconds=0.0))
            elif key in results.garbled:
                bad.append(self._unreadable(drawn, results.garbled[key]))
            elif refusal := results.refused.get(key):
                if self._conceded(refusal) <= drawn.without:
                    final = 400 <= (refusal.status or 0) < 500
                    outcome = ReplyOutcome.REJECTED if final else ReplyOutcome.FAILED
                    bad.append(self._failed(drawn, refusal.reason, outcome))
                else:
                    held.append(drawn.request)
            elif posted.spoilt and key not in results.unstarted:
                bad.append(self._unreadable(drawn, "the results of its batch cannot all be read"))
            elif not posted.batch.ended("cancelled"):
                bad.append(self._unstarted(drawn, results.unstarted.get(key, "in none of the batch's results")))
        return _spread(good, bad)

    def _conceded(self, refusal: Refusal) -> frozenset[Concession]:
        if refusal.status != 400:
            return frozenset()
        return self._endpoint.concede(refusal.reason, refusal.param, refusal.code)

    def _failed(self, drawn: _Drawn, reason: str, outcome: ReplyOutcome = ReplyOutcome.FAILED) -> Reply:
        return unanswered(self._endpoint, drawn.request, outcome, reason, Charge(calls=1))

    def _unreadable(self, drawn: _Drawn, reason: str) -> Reply:
        """A failure that has most likely been billed."""
        charge = charged(self._endpoint, self._endpoint.most(drawn.request), seconds=0.0)
        return unanswered(self._endpoint, drawn.request, ReplyOutcome.FAILED, reason, charge)

    def _unstarted(self, drawn: _Drawn, reason: str) -> Reply:
        if drawn.request.key in self._lost:
            return self._failed(drawn, f"{reason}, twice")
        self._lost.add(drawn.request.key)
        return unanswered(self._endpoint, drawn.request, ReplyOutcome.LOST, reason, Charge())


def _spread(good: list[Reply], bad: list[Reply]) -> list[Reply]:
    """All of them, the bad ones evenly among the good: many in a row look like an endpoint that is out of reach."""
    placed = [((place + 0.5) / len(part), reply) for part in (good, bad) for place, reply in enumerate(part)]
    return [reply for _, reply in sorted(placed, key=lambda one: one[0])]
