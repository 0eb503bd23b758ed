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


class Named:
    """Tells what one of several arms does, under its name."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name

    def stage(self, round: int, name: str, total: int) -> AbstractContextManager[Advance]:
        """A stage that is shown as the arm's."""
        return self._progress.stage(round, f"{name} ({self._name})", total)

    def note(self, text: str) -> None:
        """What the user should know of the arm."""
        self._progress.note(f"{self._name}: {text}")
