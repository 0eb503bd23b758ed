"""Which batches are done with, in a file of the user's cache, one digest a line.

Batches are found again without it, by their metadata. It keeps what they said from being downloaded at every start,
and from being taken by a later run that asks the same: that is the cache's business. Where it is lost or cannot be
written, no reply is.
"""

from contextlib import suppress
from pathlib import Path

from elad.records import digest

FILE = "batches-done-1.txt"


class Record:
    """The batches of one endpoint; several processes may append at once."""

    def __init__(self, folder: Path, where: str) -> None:
        self._path = folder / FILE
        self._where = where

    def done(self) -> frozenset[str]:
        """The names of all that are done with, to be compared with `name`."""
        try:
            return frozenset(self._path.read_text(encoding="ascii", errors="replace").split())
        except OSError:
            return frozenset()

    def name(self, batch_id: str) -> str:
        """What the file calls a batch of this endpoint."""
        return digest([self._where, batch_id])

    def add(self, batch_id: str) -> None:
        """Notes that nothing more is to be had from a batch."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._path.open("a", encoding="ascii") as file:
                file.write(self.name(batch_id) + "\n")
