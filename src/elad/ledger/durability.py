"""What was written reaches the disk soon, without every writer waiting for it."""

import os
import threading
from pathlib import Path

SECONDS = 0.1
"""The most that a failure of power or of the system can lose; a killed process loses nothing."""


class Syncer:
    """Syncs a file in a thread of its own, at most so long after it was marked as changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._trouble: OSError | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="elad-sync")
        self._thread.start()

    def changed(self) -> None:
        """The file was written to. Raises: OSError when an earlier change could not be synced."""
        if self._trouble:
            raise self._trouble
        self._changed.set()

    def close(self) -> None:
        """Syncs what is left and ends the thread. Raises: OSError when any change could not be synced."""
        self._closing.set()
        self._changed.set()
        self._thread.join()
        if self._trouble:
            raise self._trouble

    def _work(self) -> None:
        while not self._closing.is_set():
            self._changed.wait()
            self._closing.wait(SECONDS)
            self._changed.clear()
            self._sync()
        self._sync()  # what was changed while the last one was at work

    def _sync(self) -> None:
        try:
            handle = os.open(self._path, os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except FileNotFoundError:  # SQLite has moved everything into the main file, and synced that
            return
        except OSError as error:
            self._trouble = error
