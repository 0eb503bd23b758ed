"""Problems on disk: a pool of any size takes no memory, whatever files it was read from."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import overload
from weakref import finalize

from elad.errors import DataError
from elad.records import Problem, from_json, to_json
from elad.views import View


class Shelf(Sequence[Problem]):
    """Problems of different ids, in the order in which they were put there; each is read when it is looked at.

    They lie in a temporary database, which is gone when nobody holds the shelf any more. A copy, not places in the
    files: compressed files have no places, and the files may change while a run goes on.
    """

    def __init__(self) -> None:
        # An empty name is a database of its own in the system's folder for temporary files, without a name there.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        finalize(self, self._db.close)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute(
            "CREATE TABLE problems (place INTEGER PRIMARY KEY, id TEXT UNIQUE, source TEXT, problem TEXT NOT NULL)"
        )
        self._count = 0

    def put(self, problem: Problem, source: str) -> str | None:
        """None, and the problem at the end of the shelf; or the source of the one there that has its id.

        Raises: DataError where there is no room on the disk.
        """
        row = self._count, problem.id, source, json.dumps(to_json(problem))
        try:
            if self._db.execute("INSERT OR IGNORE INTO problems VALUES (?, ?, ?, ?)", row).rowcount:
                self._count += 1
                return None
        except sqlite3.Error as error:
            raise DataError(f"{source}: cannot be copied to a temporary file: {error}") from error
        (taken,) = self._db.execute("SELECT source FROM problems WHERE id = ?", (problem.id,)).fetchone()
        return taken

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Problem]:
        return map(self._at, range(self._count))

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> View[Problem]: ...
    def __getitem__(self, index: int | slice) -> Problem | View[Problem]:
        places = range(self._count)
        return View(places[index], self._at) if isinstance(index, slice) else self._at(places[index])

    def _at(self, place: int) -> Problem:
        (problem,) = self._db.execute("SELECT problem FROM problems WHERE place = ?", (place,)).fetchone()
        return from_json(Problem, json.loads(problem))
