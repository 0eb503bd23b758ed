"""Rows out of JSONL, JSONL.gz, Parquet and `datasets`, each with the place it comes from.

Everything here is untrusted: a row is bounded, nothing in it is run, and what cannot be read is a
`DataError` that names file and line.
"""

import gzip
import importlib
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from elad.errors import ConfigError, DataError, nearest

MOST_BYTES = 1_000_000
"""A row may not be longer."""
_PREFIX = "datasets:"

Row: TypeAlias = dict[str, Any]


def rows(source: str, base: Path) -> Iterator[tuple[str, Row]]:
    """The rows of one source in order, each with its place ("pool.jsonl:12").

    `source` is a path relative to `base`, or "datasets:NAME[:CONFIG[:SPLIT]]".

    Raises: DataError for what cannot be read; ConfigError where a library or a split is missing.
    """
    if source.startswith(_PREFIX):
        yield from _from_datasets(source, base)
        return
    path = base / source
    if not path.exists():
        raise DataError(_missing(path, source))
    if not path.is_file():
        raise DataError(f"{source}: expected a file of questions, found a folder")
    yield from (_from_parquet if path.suffix == ".parquet" else _from_jsonl)(path, source)


def _missing(path: Path, source: str) -> str:
    if not path.parent.is_dir():
        return f"{source}: no such file, and no folder {str(path.parent)!r}"
    names = [entry.name for entry in sorted(path.parent.iterdir()) if entry.is_file()][:200]
    return f"{source}: no such file in {str(path.parent)!r}; {nearest(path.name, names)}"


def _from_jsonl(path: Path, source: str) -> Iterator[tuple[str, Row]]:
    lines = 0
    with _opened(path) as file:
        while True:
            try:
                line = file.readline(MOST_BYTES + 1)
            except (gzip.BadGzipFile, zlib.error, EOFError) as error:
                raise DataError(f"{source}:{lines + 1}: expected a sound gzip file: {error}") from error
            if not line:
                return
            lines += 1
            where = f"{source}:{lines}"
            if len(line) > MOST_BYTES:
                raise DataError(f"{where}: expected a row of at most {MOST_BYTES} bytes, found a longer one")
            if line.strip():
                yield where, _decoded(line, where)


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _decoded(line: bytes, where: str) -> Row:
    try:
        row: object = json.loads(line.decode("utf-8-sig" if line.startswith(b"\xef\xbb\xbf") else "utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: expected UTF-8, found byte {line[error.start]:#04x} in its place") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: expected one JSON object: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: expected a plain JSON object, found one too deep or too large") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    if b"\\u" in line and not _encodable(cast(Row, row)):
        raise DataError(f"{where}: expected text, found half of a surrogate pair")
    return cast(Row, row)


def _encodable(row: Row) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_parquet(path: Path, source: str) -> Iterator[tuple[str, Row]]:
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{source}:{number}", _bounded(row, f"{source}:{number}")
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source}:{number + 1}: expected a sound Parquet file: {error}") from error


def _bounded(row: Row, where: str) -> Row:
    """The row as plain JSON values; what JSON has no form for (bytes, dates, images) becomes its text."""
    if len(repr(row)) > MOST_BYTES:
        raise DataError(f"{where}: expected a row of at most {MOST_BYTES} bytes, found a longer one")
    return cast(Row, json.loads(json.dumps(row, default=str)))


def _from_datasets(source: str, base: Path) -> Iterator[tuple[str, Row]]:
    name, config, split, *rest = [*source.removeprefix(_PREFIX).split(":"), "", ""]
    if not name or len(rest) > 2 or any(rest):
        raise ConfigError(f"{source}: expected datasets:NAME[:CONFIG[:SPLIT]]")
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise ConfigError(f"{source}: needs the package 'datasets': pip install datasets") from error
    local = base / name
    try:
        loaded = library.load_dataset(str(local) if local.is_dir() else name, config or None, split=split or None)
    except Exception as error:
        # The library raises its own, its loaders' and the hub client's errors, without a common base.
        raise DataError(f"{source}: cannot be loaded: {str(error)[:500]}") from error
    if isinstance(loaded, Mapping):
        loaded = _only_split(cast("Mapping[str, Any]", loaded), source)
    for number, row in enumerate(loaded, start=1):
        yield f"{source}:{number}", _bounded(dict(row), f"{source}:{number}")


def _only_split(splits: Mapping[str, Any], source: str) -> Any:
    if len(splits) != 1:
        raise ConfigError(f"{source}: name a split, as in datasets:NAME:CONFIG:SPLIT; {nearest('', splits)}")
    return next(iter(splits.values()))
