"""What was bought, written where other tools look for it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from elad.errors import InputError, nearest
from elad.report import argilla, tables
from elad.report.files import appearing
from elad.report.rows import SHAPES, Shape, rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A form of what was bought."""

    place: str
    """Where it goes in the run folder; one with a slash at its end is a folder."""
    write: Callable[[Path, Path], int]
    """Writes the rows of a run to a path that is not there yet; gives how many."""


def _lines(shape: Shape) -> Callable[[Path, Path], int]:
    """JSON Lines of one shape."""

    def write(folder: Path, target: Path) -> int:
        count = 0
        with target.open("w", encoding="utf-8") as file:
            for row in rows(folder, shape):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        return count

    return write


FORMATS: dict[str, Format] = {
    **{name: Format(place=f"{name}.jsonl", write=_lines(shape)) for name, shape in SHAPES.items()},
    "parquet": Format(place="revisions.parquet", write=tables.parquet),
    "datasets": Format(place="dataset/", write=tables.dataset),
    "argilla": Format(place="argilla/", write=argilla.write),
}
"""`messages`, `preference`, `stepwise`: what TRL's trainers take. `parquet`: every revision, whatever became of it.
`datasets`: the first three in a folder for `datasets.load_dataset`. `argilla`: records for people to look through."""


def default_place(folder: Path, to: str) -> Path:
    """Where a format goes by itself. Raises: InputError for an unknown one."""
    if to not in FORMATS:
        raise InputError(f"--to {to}: unknown format; {nearest(to, FORMATS)}")
    return folder / FORMATS[to].place


def export(folder: Path, to: str, target: Path) -> int:
    """Writes the rows of a run; gives how many. A file appears whole or not at all, and takes an earlier one's place.

    Raises: InputError for an unknown format or a place that cannot be written to, RunFolderError without a ledger.
    """
    default_place(folder, to)
    with appearing(target) as scratch:
        return FORMATS[to].write(folder, scratch)
