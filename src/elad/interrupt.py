"""Ctrl-C as a wish first and a command the second time; and other reasons not to wait any longer."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType, TracebackType

SLICE_SECONDS = 0.5
"""So long a wait goes on before it looks whether it is to end."""

_OPEN: list["Interrupt"] = []
_OVER: list[Callable[[], bool]] = []


class Stopped(KeyboardInterrupt):
    """Whoever waits is to stop, and a pause was cut short."""


def stopping() -> bool:
    """Whether a long wait is to end: the first Ctrl-C has come inside a block that is still open, or time is up."""
    return any(block.asked for block in _OPEN) or any(over() for over in _OVER)


@contextmanager
def impatient(over: Callable[[], bool]) -> Generator[None]:
    """Inside the block, a long wait also ends when time is `over`."""
    _OVER.append(over)
    try:
        yield
    finally:
        _OVER.remove(over)


class Interrupt:
    """Inside the block the first Ctrl-C sets `asked`; a second one, or leaving the block, raises KeyboardInterrupt.

    In another thread than the main one, and under a handler of somebody else's, nothing is changed.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        """`tell` is called at the first Ctrl-C."""
        self.asked = False
        self._tell = tell
        self._mine = False

    def __enter__(self) -> "Interrupt":
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self._mine = usual and threading.current_thread() is threading.main_thread()
        if self._mine:
            signal.signal(signal.SIGINT, self._handle)
        _OPEN.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _OPEN.remove(self)
        if self._mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.asked and kind is None:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._tell()
