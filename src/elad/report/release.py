"""A trained student as a folder for others: weights, tokenizer, card, and a list of what belongs to it."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from elad.errors import InputError, RunFolderError
from elad.evaluation.trained import BEST, Trained, trained
from elad.report import known
from elad.report.card_facts import Form
from elad.report.files import appearing
from elad.report.model_card import model_card
from elad.students.gguf import convert, converter
from elad.students.models import file_sha256

CARD, LIST = "README.md", "release.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a release is to hold."""

    which: str
    """`last`, `best`, or the number of a round."""
    adapter: bool
    """The adapters alone, not all weights."""
    gguf: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A model folder."""

    folder: Path
    round: int
    accuracy: float
    files: tuple[str, ...]
    """All that belongs to it; whatever else lies in the folder does not."""
    kept: bool
    """Whether it was there already, and was left as it is."""


def release(run: Path, target: Path | None, wanted: Wanted) -> Release:
    """Writes the model folder, `RUN/release/round-N` by itself; appears whole or not at all.

    One that holds just that student already is kept as it is, with what somebody has written into its card.
    Raises: InputError for what cannot be had, and where something else lies there; RunFolderError where the weights
    are not those that were measured.
    """
    script = converter() if wanted.gguf else None
    if wanted.gguf and wanted.adapter:
        raise InputError("--gguf: is made from all weights; take --weights merged")
    student = trained(run, wanted.which)
    named = f"round-{student.round.round}{'-adapter' if wanted.adapter else ''}"
    place = target or run / "release" / named
    listed: dict[str, Any] = {
        "round": student.round.round,
        "student": student.round.student,
        "weights": "adapter" if wanted.adapter else "merged",
        "gguf": wanted.gguf,
        "best": wanted.which == BEST,
    }
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        return _kept(place, listed, student)
    gguf = f"{run.resolve().name}-{named}.gguf" if wanted.gguf else None
    form = Form(adapter=wanted.adapter, gguf=gguf, place=place.name, chosen=wanted.which)
    card = model_card(run, student, form)
    with appearing(place) as folder:
        _write_weights(student, folder, adapter=wanted.adapter)
        if script and gguf:
            convert(script, folder, folder / gguf)
        (folder / CARD).write_text(card, encoding="utf-8")
        files = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
        told = {"elad": version("elad"), **listed, "files": files}
        (folder / LIST).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return _made(place, student, [*files, LIST], kept=False)


def _write_weights(student: Trained, folder: Path, *, adapter: bool) -> None:
    from elad.students.checkpoints import write_adapter, write_merged

    loaded = student.load()
    if adapter:
        base = known.base_model(student.settings.model)
        write_adapter(student.checkpoint, base.hub or base.name, folder)
    else:
        write_merged(loaded, folder)


def _kept(place: Path, listed: dict[str, Any], student: Trained) -> Release:
    """The release that is there. Raises: InputError where it is none, another, or has lost or changed files."""
    try:
        there = json.loads((place / LIST).read_text(encoding="utf-8"))
        files: dict[str, str] = there["files"]
        same = {key: there[key] for key in listed} == listed
    except (OSError, ValueError, KeyError, TypeError):
        same, files = False, {}
    if not same:
        raise InputError(f"{place}: holds something else; give another --out, or move it away")
    for name, sha256 in files.items():
        if name != CARD and (not (place / name).is_file() or file_sha256(place / name) != sha256):
            raise RunFolderError(f"{place / name}: is gone, or was changed since it was written; move {place} away")
    return _made(place, student, [*files, LIST], kept=True)


def _made(place: Path, student: Trained, files: list[str], *, kept: bool) -> Release:
    turn = student.round
    return Release(folder=place, round=turn.round, accuracy=turn.accuracy, files=tuple(files), kept=kept)
