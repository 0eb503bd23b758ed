import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elad.errors import ConfigError, DataError
from elad.tasks import sources

ROW = {"id": "a", "question": "How many? 中 ½", "choices": ["1", "2"], "answer": "1", "extra": {"x": [1, None]}}


def _all(source: str, base: Path) -> list[tuple[str, dict[str, Any]]]:
    return list(sources.rows(source, base))


def _lines(*rows: object) -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def test_jsonl_gz_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + _lines(ROW) + b"\n\n  \n" + _lines(ROW))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(_lines(ROW, ROW)))
    pq.write_table(pa.Table.from_pylist([ROW, ROW]), tmp_path / "c.parquet")
    assert [where for where, _ in _all("a.jsonl", tmp_path)] == ["a.jsonl:1", "a.jsonl:4"]
    for name in ("a.jsonl", "b.jsonl.gz", "c.parquet"):
        assert [row for _, row in _all(name, tmp_path)] == [ROW, ROW]


def test_what_json_has_no_form_for_becomes_its_text(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"question": "1?", "picture": b"\xff\x00"}]), tmp_path / "a.parquet")
    ((_, row),) = _all("a.parquet", tmp_path)
    assert row == {"question": "1?", "picture": str(b"\xff\x00")}


def test_an_absolute_path_needs_no_base(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_lines(ROW))
    assert len(_all(str(tmp_path / "a.jsonl"), Path("elsewhere"))) == 1


def test_escaped_letters_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"question": "\\u4e2d \\ud83d\\ude00"}')
    assert _all("a.jsonl", tmp_path)[0][1] == {"question": "中 😀"}


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_lines(ROW) + b"\n{broken")
    assert next(sources.rows("a.jsonl", tmp_path))[1] == ROW


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": ', r"^a\.jsonl:2: expected one JSON object: .* at column"),
        (b"[1, 2]", r"^a\.jsonl:1: expected a JSON object, found list"),
        (b'{"a": "\xff"}', r"^a\.jsonl:1: expected UTF-8, found byte 0xff"),
        (b'{"a": "\\ud800"}', r"^a\.jsonl:1: .*surrogate"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", r"^a\.jsonl:1: .*too deep"),
        (b'{"a": ' + b"9" * 10_000 + b"}", r"^a\.jsonl:1: .*too deep or too large"),
        (b'{"a": "' + b"x" * sources.MOST_BYTES + b'"}', r"^a\.jsonl:1: expected a row of at most 1000000 bytes"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        _all("a.jsonl", tmp_path)


def _not_gzip(path: Path) -> None:
    path.write_bytes(_lines(ROW))


def _cut_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(_lines(*[ROW | {"n": n} for n in range(500)]))[:-40])


@pytest.mark.parametrize("spoil", [_not_gzip, _cut_gzip])
def test_unsound_gzip_files_are_named(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(tmp_path / "a.jsonl.gz")
    with pytest.raises(DataError, match=r"^a\.jsonl\.gz:\d+: expected a sound gzip file"):
        _all("a.jsonl.gz", tmp_path)


def test_unsound_parquet_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not at all PAR1")
    with pytest.raises(DataError, match=r"^a\.parquet:1: expected a sound Parquet file"):
        _all("a.parquet", tmp_path)


def test_long_parquet_rows_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"question": "x" * (sources.MOST_BYTES + 1)}]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"^a\.parquet:1: expected a row of at most"):
        _all("a.parquet", tmp_path)


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(_lines(ROW))
    with pytest.raises(DataError, match=r"did you mean 'train\.jsonl'"):
        _all("trian.jsonl", tmp_path)
    with pytest.raises(DataError, match="no folder"):
        _all("nowhere/train.jsonl", tmp_path)
    with pytest.raises(DataError, match="found a folder"):
        _all(".", tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_a_data_error(tmp_path: Path, content: bytes) -> None:
    for name in ("a.jsonl", "a.jsonl.gz", "a.parquet"):
        (tmp_path / name).write_bytes(content)
        places: list[str] = []
        try:
            places.extend(where for where, _ in sources.rows(name, tmp_path))
        except DataError as error:
            places.append(str(error))
        assert all(place.startswith(f"{name}:") for place in places)


class _Library:
    """A stand-in for `datasets`, which is not among the project's own requirements."""

    def __init__(self, loaded: object) -> None:
        self.loaded = loaded
        self.asked: list[tuple[str, str | None, str | None]] = []

    def load_dataset(self, name: str, config: str | None, *, split: str | None) -> object:
        self.asked.append((name, config, split))
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("datasets:openai/gsm8k:main:train", ("openai/gsm8k", "main", "train")),
        ("datasets:gsm8k::test", ("gsm8k", None, "test")),
        ("datasets:gsm8k", ("gsm8k", None, None)),
    ],
)
def test_datasets_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, asked: tuple[str, str | None, str | None]
) -> None:
    library = _Library([ROW])
    monkeypatch.setitem(sys.modules, "datasets", library)
    assert _all(source, tmp_path) == [(f"{source}:1", ROW)]
    assert library.asked == [asked]


def test_a_dataset_in_a_folder_is_taken_from_the_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    library = _Library({"train": [ROW]})
    monkeypatch.setitem(sys.modules, "datasets", library)
    assert len(_all("datasets:mine", tmp_path)) == 1
    assert library.asked == [(str(tmp_path / "mine"), None, None)]


def test_what_goes_wrong_with_datasets_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", _Library({"train": [ROW], "test": [ROW]}))
    with pytest.raises(ConfigError, match=r"name a split.*'test', 'train'"):
        _all("datasets:gsm8k", tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", _Library(ConnectionError("no route")))
    with pytest.raises(DataError, match="cannot be loaded: no route"):
        _all("datasets:gsm8k", tmp_path)
    for source in ("datasets:", "datasets:a:b:c:d"):
        with pytest.raises(ConfigError, match="NAME"):
            _all(source, tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match="pip install datasets"):
        _all("datasets:gsm8k", tmp_path)
