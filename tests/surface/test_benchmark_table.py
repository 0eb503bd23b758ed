"""Which rows of the table of benchmarks are measured again."""

import importlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("table")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with some code, and a benchmark of it."""
    folder = tmp_path / "checkout"
    for name in ("src/a.py", "benchmarks/b.py", "docs/c.md"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("1\n")
    git(folder, "init", "--quiet")
    committed(folder)
    return folder


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True)


def committed(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "more")


def changed(folder: Path) -> None:
    (folder / "src" / "a.py").write_text("2\n")


def grown(folder: Path) -> None:
    (folder / "benchmarks" / "new.py").write_text("2\n")


def told(folder: Path) -> None:
    (folder / "docs" / "c.md").write_text("2\n")


@pytest.mark.parametrize(("change", "again"), [(changed, 2), (grown, 2), (committed, 1), (told, 0)])
def test_a_row_of_other_code_is_measured_again(
    table: Any,
    checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    again: int,
) -> None:
    """Once for each commit, and each time while there are changes that are in none."""
    commands = list[str]()

    def measured(command: str) -> dict[str, Any]:
        commands.append(command)
        return {"name": "draft", "ratio": 1.5, "runs": 1, "spread": [1.5, 1.5]}

    monkeypatch.setattr(table, "measured", measured)
    monkeypatch.setattr(table, "HERE", checkout / "benchmarks")
    words = ["table.py", "--only", "draft", "--out", str(tmp_path / "out")]

    def asked() -> int:
        before = len(commands)
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit, match="0"):
            table.main()
        return len(commands) - before

    assert [asked(), asked()] == [1, 0]
    change(checkout)
    assert asked() + asked() == again
    kept = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text().splitlines()]
    assert len(kept) == 1 + again
    assert (kept[-1]["commit"] is None) == (again == 2)


def test_a_row_of_another_machine_is_no_row_of_this_one(table: Any) -> None:
    here = {"commit": "c", "processor": "p", "numbers": "float32"}
    assert table.reusable({"ratio": 1.0} | here, here)
    for key in here:
        assert not table.reusable(here | {key: "another"}, here)
    assert not table.reusable({"ratio": 1.0, "command": "of an earlier version"}, here)


def test_the_processor_is_called_by_its_name(table: Any, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: AMD EPYC\nprocessor\t: 1\nmodel name\t: x\n")
    assert table.processor(tmp_path / "cpuinfo") == "AMD EPYC"
    assert table.processor(tmp_path / "none")
