"""Files that appear whole under their name, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from elad.errors import InputError


@contextmanager
def appearing(target: Path) -> Generator[Path]:
    """A path beside `target` for a file or a folder, which takes its place when the block is left in good order.

    Files of a folder take the places of those of the same names; others that lie there are left alone.
    Raises: InputError where it cannot be written; what was there before still is.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    try:
        made = beside / target.name
        yield made
        _move(made, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _move(made: Path, target: Path) -> None:
    if not made.is_dir() or not target.exists():
        os.replace(made, target)
        return
    for part in sorted(made.rglob("*")):
        if part.is_file():
            place = target / part.relative_to(made)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, place)
