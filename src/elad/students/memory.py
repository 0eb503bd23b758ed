"""Keys and values of rows that were written, so that what goes on from somewhere within them need not compute them."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from operator import eq
from typing import NamedTuple

from torch import Tensor


class Kept(NamedTuple):
    """A row of tokens, and each one's keys and values in every layer."""

    tokens: tuple[int, ...]
    keys_LHTD: Tensor
    values_LHTD: Tensor


class Known(NamedTuple):
    """How much of a row is in memory: its first `length` tokens are those of `kept`."""

    kept: Kept | None
    length: int


@dataclass(slots=True)
class Memory:
    """Rows in the order of their tokens, up to `most_tokens` of all together; what comes later is not kept."""

    most_tokens: int
    filled: bool = False
    """Whether all that is to be kept was kept."""
    _rows: list[Kept] = field(default_factory=list[Kept])
    _size: int = 0

    def keep(self, kept: Kept) -> None:
        """Takes a row in where there is room."""
        if self._size + len(kept.tokens) <= self.most_tokens:
            self._size += len(kept.tokens)
            self._rows.insert(bisect_left(self._rows, kept.tokens, key=lambda one: one.tokens), kept)

    def known(self, row: Sequence[int]) -> Known:
        """The row that has most of the beginning in common. The last token never is: logits after it are wanted.

        In an ordered list the row that begins most alike lies beside the place where this one would be.
        """
        at = bisect_left(self._rows, tuple(row), key=lambda one: one.tokens)
        near = self._rows[max(0, at - 1) : at + 1]
        found = max((Known(kept, _shared(row[:-1], kept.tokens)) for kept in near), key=_length, default=NOTHING)
        return found if found.length else NOTHING


NOTHING = Known(None, 0)


def _length(known: Known) -> int:
    return known.length


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two rows begin with alike."""
    return sum(1 for _ in takewhile(bool, map(eq, first, second)))
