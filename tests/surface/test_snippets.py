"""What the documentation shows is true: Python runs, experiments load, commands exist."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from elad import sample

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELAD = "import sys; from elad.cli import main; sys.exit(main())"


def blocks(*languages: str) -> list[str]:
    """The fenced blocks in these languages, over all pages."""
    found = (FENCE.findall(page.read_text(encoding="utf-8")) for page in PAGES)
    return [text for page in found for language, text in page if language in languages]


def commands(program: str) -> list[list[str]]:
    """The lines `$ program ...` of all console blocks, as words."""
    lines = "".join(blocks("console", "bash", "sh")).splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"$ {program} ")]


@cache
def help_of(verb: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ELAD, *verb.split(), "--help"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", [text for text in blocks("yaml") if text.startswith("name:")])
def test_experiments_load(text: str, tmp_path: Path) -> None:
    from elad.experiment import Experiment

    for file in sample.folder().glob("*.jsonl"):
        shutil.copy(file, tmp_path)
    path = tmp_path / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    assert Experiment.load(path).name == text.split("\n")[0].removeprefix("name: ")


@pytest.mark.parametrize("text", [text for text in blocks("yaml") if text.startswith("base:")])
def test_sweeps_load(text: str, tmp_path: Path) -> None:
    from elad.sweep import read_sweep

    (base,) = (text for text in blocks("yaml") if text.startswith("name: mine"))
    (tmp_path / "mine.yaml").write_text(base, encoding="utf-8")
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    assert len(read_sweep(tmp_path / "sweep.yaml")) > 1


@pytest.mark.parametrize("words", commands("elad"), ids=" ".join)
def test_commands_exist(words: list[str]) -> None:
    assert words[1] in help_of("")
    shown = help_of(" ".join(words[1:3]) if words[1] == "eval" else words[1])
    for word in words[2:]:
        assert not word.startswith("--") or word.split("=")[0] in shown


@pytest.mark.parametrize("verb", re.findall(r"^\| `elad (\w+)", PAGES[0].read_text(encoding="utf-8"), re.M))
def test_verbs_of_the_table_exist(verb: str) -> None:
    assert "Usage" in help_of(verb)


@pytest.mark.parametrize("words", commands("make"), ids=" ".join)
def test_recipes_exist(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(words[1])}:", makefile, re.MULTILINE)


def test_the_front_page_starts_with_the_two_commands() -> None:
    assert commands("make")[:2] == [["make", "demo"], ["make", "test"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in targets if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
