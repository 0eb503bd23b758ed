"""What is known of where a run's texts come from: who taught, which data, under which terms.

Nothing is looked up and nothing is guessed: what the ledger, the rows and the files beside them do not say is said to
be not known, for whoever passes the texts on to find out.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elad.ledger.events import Kind, Ledger
from elad.ledger.sessions import teacher_of
from elad.students.models import KNOWN, on_disk

NOT_KNOWN, NOT_STATED = "not known", "not stated"
_MOST = 160
"""Characters of a name or a licence that are shown."""
_LICENCE_FILES = ("ATTRIBUTION", "LICENSE", "LICENCE")
_LICENCE_KEYS = ("license", "licence")
_MARKS = re.compile(r"[\\`*_\[\]<>|&~#]")
_ROLES = {"pool": "questions to learn from", "heldout": "held-out questions", "warmup": "warm-up rows"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file or a data set that questions came from."""

    name: str
    """Without the folder that it lies in."""
    role: str
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The model that a student was trained from."""

    hub: str | None
    """Its name on the hub; None for a folder or a file of somebody's own."""
    name: str
    licence: str
    rounded: str | None
    """The GGUF file that its weights were made from, which rounds them; None where they were not."""


def shown(text: object) -> str:
    r"""A name by somebody else on one line, cut to 160 characters; what cannot be printed becomes a space.

    >>> shown("a\u202eb\n c")
    'a b c'
    """
    plain = "".join(letter if letter.isprintable() else " " for letter in str(text)[: 4 * _MOST])
    joined = " ".join(plain.split())
    return joined if len(joined) <= _MOST else f"{joined[:_MOST]}…"


def code(text: object) -> str:
    """The same as a piece of code in Markdown, where no mark means anything.

    >>> code("a `b` <i>")
    "`a 'b' <i>`"
    """
    return f"`{shown(text).replace('`', chr(39)) or ' '}`"


def plain(text: object) -> str:
    r"""The same as words of Markdown, its marks and those of HTML escaped.

    >>> plain("<b>a_run*")
    '\\<b\\>a\\_run\\*'
    """
    return _MARKS.sub(r"\\\g<0>", shown(text))


def public_name(name: str) -> str:
    """The name of a model, without the folder where it is a path on this machine.

    >>> public_name("/home/me/models/mine"), public_name("org/model")
    ('mine', 'org/model')
    """
    local = name.startswith((".", "~")) or Path(name).is_absolute() or "\\" in name
    return shown(name.replace("\\", "/").rstrip("/").rpartition("/")[2] if local else name)


def base_model(model: str) -> Base:
    """What is known of a model by its name in the settings of a student."""
    found, path = KNOWN.get(model), Path(model).expanduser()
    licence = found.licence if found else NOT_KNOWN
    if path.exists():
        return Base(hub=None, name=public_name(model), licence=licence, rounded=_rounded(path))
    hub = found.hub if found else model
    return Base(hub=hub, name=shown(hub), licence=licence, rounded=_rounded(on_disk(model)))


def _rounded(path: Path | None) -> str | None:
    if path is not None and path.suffix == ".gguf":
        return shown(path.name)
    told = path and path / "elad-source.json"
    return shown(json.loads(told.read_text(encoding="utf-8"))["gguf"]) if told and told.is_file() else None


def teacher(ledger: Ledger) -> tuple[str, str]:
    """Who taught, and under which terms what it wrote may be used; both in Markdown."""
    identity = teacher_of(ledger)
    if identity is None:
        return "nobody: no question was answered", "none needed"
    kind, _, name = identity.partition(":")
    if kind == "reference":
        return "no model: the reference solutions of the data", "those of the data"
    if kind == "recorded":
        told = "no model was asked: solutions recorded with the data" + (f", by {code(name)}" if name else "")
        return told, f"{NOT_KNOWN}: those of whoever wrote the recorded solutions"
    if kind == "fake":
        return "a scripted teacher, for tests", "none needed"
    model = public_name(name or kind)
    found = KNOWN.get(model.removesuffix(".gguf"))
    if found:
        return code(model), f"its licence is {found.licence}"
    return code(model), f"{NOT_KNOWN}: whether its provider lets its output train other models has to be looked up"


def sources(ledger: Ledger, told: Mapping[str, Any]) -> list[Source]:
    """The data of a session `told`, each source with its licence as far as it is stated.

    A licence is stated by a `license` column of the rows that were bought, or by a file beside the data.
    """
    columns = _stated_in_rows(ledger)
    base = Path(told["base"])
    data: dict[str, list[Any]] = told["experiment"]["data"]
    return [
        Source(name=name, role=role, licence=(columns if key == "pool" else "") or licence)
        for key, role in _ROLES.items()
        for name, licence in _sources(data.get(key, []), base)
    ]


def hub_names(told: Mapping[str, Any]) -> list[str]:
    """The data sets that a session learnt from and that have a name on the hub."""
    data: dict[str, list[Any]] = told["experiment"]["data"]
    given = [one for key in ("pool", "warmup") for one in data.get(key, []) if isinstance(one, str)]
    names = (one.split(":")[1] for one in given if one.startswith("datasets:"))
    return list(dict.fromkeys(name for name in names if not (Path(told["base"]) / name).exists()))


def _sources(given: Sequence[Any], base: Path) -> Iterator[tuple[str, str]]:
    if any(not isinstance(one, str) for one in given):
        yield "questions given in Python", NOT_STATED
    for one in given:
        if not isinstance(one, str):
            continue
        if one.startswith("datasets:"):
            yield public_name(one.removeprefix("datasets:")), f"{NOT_STATED} here: see the page of the data set"
        else:
            yield shown(Path(one).name), _stated_beside(base / one)


def _stated_beside(path: Path) -> str:
    """The file beside the data that tells of its licence."""
    if not path.parent.is_dir():
        return NOT_STATED
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.name.upper().startswith(_LICENCE_FILES))
    return f"stated in {', '.join(map(code, names[:4]))}, which lies beside it" if names else NOT_STATED


def _stated_in_rows(ledger: Ledger) -> str:
    """What the rows that were bought say of themselves; "" where they say nothing."""
    found: Counter[str] = Counter()
    count = 0
    for event in ledger.events(Kind.PICK):
        metadata: dict[str, Any] = event.payload["problem"].get("metadata") or {}
        found.update(shown(metadata[key]) for key in _LICENCE_KEYS if metadata.get(key))
        count += 1
    parts = [f"{code(name)} ({n} of {count} rows bought)" for name, n in found.most_common(8)]
    return ", ".join(parts)
