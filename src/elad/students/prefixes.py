"""Token rows that begin alike, laid out so that each beginning is computed once.

Prompts of one task share their instructions, and what is asked at the steps of one chain shares the chain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pack:
    """Some rows as one tree: a node is a token after all that comes before it."""

    tokens: list[int] = field(default_factory=list[int])
    """The token of each node; a node comes after its parent."""
    parents: list[int] = field(default_factory=list[int])
    """The node before each node; -1 where a row begins."""
    depths: list[int] = field(default_factory=list[int])
    """How many tokens come before each node: its position."""
    rows: list[int] = field(default_factory=list[int])
    """Which rows are in it, by their places in the input."""
    paths: list[list[int]] = field(default_factory=list[list[int]])
    """For each of these rows, the nodes of its tokens."""
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
        self.rows.append(place)
        self.paths.append(path)

    def new(self, row: Sequence[int]) -> int:
        """How many nodes the row would add."""
        node = -1
        for depth, token in enumerate(row):
            child = self._children.get((node, token))
            if child is None:
                return len(row) - depth
            node = child
        return 0


def packs(rows: Sequence[Sequence[int]], size: int) -> Iterator[Pack]:
    """All rows that are not empty, in trees of at most `size` nodes; a longer row is a tree of its own.

    Rows come in the order of their tokens, so that those that begin alike lie side by side.

    >>> [(pack.rows, pack.tokens) for pack in packs([[1, 2, 3], [4], [1, 2, 5]], 8)]
    [([0, 2, 1], [1, 2, 3, 5, 4])]
    """
    pack = Pack()
    for place in sorted((i for i, row in enumerate(rows) if row), key=lambda i: tuple(rows[i])):
        if pack.tokens and len(pack.tokens) + pack.new(rows[place]) > size:
            yield pack
            pack = Pack()
        pack.add(place, rows[place])
    if pack.tokens:
        yield pack
