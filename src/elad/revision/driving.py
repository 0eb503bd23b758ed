"""Runs revisions side by side: in waves, so that a teacher always has many requests to work on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from elad.protocols import Ask, Revising, Told
from elad.records import Revision

K = TypeVar("K")


def drive(
    works: Mapping[K, Revising], answer: Callable[[Sequence[Ask]], Sequence[Told]]
) -> Iterator[tuple[K, Revision]]:
    """Each revision with its key, as it ends.

    `answer` is given the asks of all open revisions at once and answers in their order.
    """
    told: dict[K, tuple[Told, ...] | None] = dict.fromkeys(works)
    while told:
        asks: dict[K, tuple[Ask, ...]] = {}
        for key, answers in told.items():
            try:
                asks[key] = next(works[key]) if answers is None else works[key].send(answers)
            except StopIteration as end:
                yield key, end.value
        given = iter(answer([ask for each in asks.values() for ask in each])) if asks else iter(())
        told = {key: tuple(islice(given, len(each))) for key, each in asks.items()}
