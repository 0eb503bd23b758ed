"""How long work tells where it is: a port, and the silent default."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the number of items just done."""


class Progress(Protocol):
    """Where a run is: which round, which stage, how many items of how many."""

    def stage(self, round: int, name: str, total: int) -> AbstractContextManager[Advance]:
        """Opens a stage of `total` items."""
        ...

    def note(self, text: str) -> None:
        """Tells something that the user should know."""
        ...


class Silent:
    """Tells nothing."""

    @contextmanager
    def stage(self, round: int, name: str, total: int) -> Generator[Advance]:
        """A stage that nobody watches."""
        yield lambda _: None

    def note(self, text: str) -> None:
        """Tells nobody."""
