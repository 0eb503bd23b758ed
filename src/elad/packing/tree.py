"""Token rows that begin alike, laid out so that each beginning is computed once.

Prompts of one task share their instructions, and what is asked at the steps of one chain shares the chain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf


@dataclass(slots=True)
class Pack:
    """Some rows as one tree: a node is a token after all that comes before it."""

    tokens: list[int] = field(default_factory=list[int])
    """The token of each node; a node comes after its parent."""
    parents: list[int] = field(default_factory=list[int])
    """The node before each node; -1 where a row begins."""
    depths: list[int] = field(default_factory=list[int])
    """How many tokens come before each node: its position."""
    paths: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    """The nodes of the tokens of each row, by the row's place in the input."""
    _children: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])

    def add(self, place: int, row: Sequence[int]) -> None:
        """Takes a row in; what it has in common with those before it is there already."""
        node, path = -1, list[int]()
        for depth, token in enumerate(row):
            parent, node = node, self._children.get((node, token), len(self.tokens))
            if node == len(self.tokens):
                self._children[parent, token] = node
                self.tokens.append(token)
                self.parents.append(parent)
                self.depths.append(depth)
            path.append(node)
        self.paths[place] = path

    def new(self, row: Sequence[int]) -> int:
        """How many nodes the row would add."""
        node = -1
        for depth, token in enumerate(row):
            child = self._children.get((node, token))
            if child is None:
                return len(row) - depth
            node = child
        return 0


def packs(rows: Sequence[Sequence[int]], size: int, known: Sequence[int] = (), largest: float = inf) -> Iterator[Pack]:
    """All rows that are not empty, in trees of at most `size` nodes, or more where their first row is longer.

    Rows come in the order of their tokens, so that those that begin alike lie side by side; equal ones are always in
    one tree. After a long row there is room for as much again, up to four times `size`, in a tree of at most `largest`
    nodes: attention over a tree takes the square of them. Where so many of a row's first tokens are `known` and need no
    computing, they do not count, but for a bound of eight times `size`, or of what the first row alone makes room for
    where that is more: which node sees which takes the square of all.

    >>> [(pack.paths, pack.tokens) for pack in packs([[1, 2, 3], [4], [1, 2, 5]], 8)]
    [({0: [0, 1, 2], 2: [0, 1, 3], 1: [4]}, [1, 2, 3, 5, 4])]
    """
    pack, most, computed, bound = Pack(), size, 0, 0
    for place in sorted((i for i, row in enumerate(rows) if row), key=lambda i: tuple(rows[i])):
        new, whole = pack.new(rows[place]), len(rows[place])
        unknown = whole - (known[place] if known else 0)
        if pack.tokens and new and (computed + min(new, unknown) > most or len(pack.tokens) + new > bound):
            yield pack
            pack = Pack()
        if not pack.tokens:
            room = min(whole, 4 * size)
            most, computed, new = max(size, whole, min(whole + room, largest)), 0, whole
            bound = max(most, 8 * size)
        computed += min(new, unknown)
        pack.add(place, rows[place])
    if pack.tokens:
        yield pack
