"""Sequences of things that are too many to be held: a view keeps their places, and makes each when it is looked at."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class View(Sequence[T]):
    """The items at some places, in their order, made anew each time that one is looked at.

    >>> squares = View(range(5), lambda place: place**2)
    >>> squares[2], list(squares[3:]), len(squares)
    (4, [9, 16], 5)
    """

    def __init__(self, places: Sequence[int], make: Callable[[int], T]) -> None:
        self._places = places
        self._make = make

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[T]:
        return map(self._make, self._places)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> "View[T]": ...
    def __getitem__(self, index: int | slice) -> "T | View[T]":
        if isinstance(index, slice):
            return View(self._places[index], self._make)
        return self._make(self._places[index])
