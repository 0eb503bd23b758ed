"""Revisions under way, side by side: what they ask is handed out, what is answered moves them on."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from elad.protocols import Ask, Consult, Contrasting, Prompt, Revising, Sample, Told
from elad.records import Request, Revision, digest, to_json

K = TypeVar("K", bound=Hashable)


def drive(
    works: Iterable[tuple[K, Revising]],
    pay: Callable[[Iterator[Request | None], Callable[[Request, Told], None]], None],
    consult: Callable[[list[Consult]], list[Told]],
    done: Callable[[K, Revision], None],
) -> None:
    """Brings every revision to its end; `done` is told of each as it ends.

    `pay` answers requests as they come. What is asked of the student is gathered until no request is open, and put to
    `consult` in an order of its own, so that batches do not depend on who answered first.
    """
    bench = Bench(works, done)
    while True:
        pay(bench.requests(), bench.tell)
        asks = bench.take_consults()
        if not asks:
            return
        for ask, told in zip(asks, consult(asks), strict=True):
            bench.tell(ask, told)


class Bench(Generic[K]):
    """Opens a revision only when those that are open ask for nothing more, so that few are half done at once."""

    def __init__(self, works: Iterable[tuple[K, Revising]], done: Callable[[K, Revision], None]) -> None:
        self._works = iter(works)
        self._done = done
        self._open: dict[K, _Open] = {}
        self._asks: deque[Ask] = deque()
        self._waiting: dict[str, list[K]] = {}
        """Who waits for an answer, by the key of what is asked."""
        self._consults: dict[str, Consult] = {}

    def requests(self) -> Iterator[Request | None]:
        """What is asked, the same thing once; None where only an answer can bring more.

        Ends when no request is open.
        """
        while True:
            ask = self._next_ask()
            if ask is not None and not isinstance(ask, Request):
                self._consults[ask_key(ask)] = ask
            elif ask is not None or len(self._waiting) > len(self._consults):
                yield ask
            else:
                return

    def take_consults(self) -> list[Consult]:
        """What was gathered for the student, sorted by key."""
        taken = [self._consults[key] for key in sorted(self._consults)]
        self._consults.clear()
        return taken

    def tell(self, ask: Ask, told: Told) -> None:
        """Gives an answer to the revisions that wait for it."""
        name = ask_key(ask)
        for key in self._waiting.pop(name):
            case = self._open[key]
            case.told[name] = told
            if len(case.told) == len(set(case.names)):
                del self._open[key]
                self._advance(key, case.work, tuple(case.told[wanted] for wanted in case.names))

    def _next_ask(self) -> Ask | None:
        while not self._asks:
            opened = next(self._works, None)
            if opened is None:
                return None
            key, work = opened
            self._advance(key, work, None)
        return self._asks.popleft()

    def _advance(self, key: K, work: Revising, told: tuple[Told, ...] | None) -> None:
        try:
            asks = next(work) if told is None else work.send(told)
        except StopIteration as end:
            self._done(key, end.value)
            return
        names = tuple(ask_key(ask) for ask in asks)
        self._open[key] = _Open(work, names, {})
        for name, ask in dict(zip(names, asks, strict=True)).items():
            if name not in self._waiting:
                self._waiting[name] = []
                self._asks.append(ask)
            self._waiting[name].append(key)


@dataclass(slots=True)
class _Open:
    work: Revising
    names: tuple[str, ...]
    """Keys of its asks, in order."""
    told: dict[str, Told]


def ask_key(ask: Ask) -> str:
    """Equal for asks that ask the same."""
    if isinstance(ask, Request):
        return ask.key
    if isinstance(ask, Prompt):
        return digest([[to_json(message) for message in ask.messages], ask.prefix, ask.seed])
    if isinstance(ask, Contrasting):
        return digest([ask_key(ask.prompt), "contrast", ask.text])
    way = to_json(ask.sampling) if isinstance(ask, Sample) else list(ask.options)
    return digest([ask_key(ask.prompt), way])
