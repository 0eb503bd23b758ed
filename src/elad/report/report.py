"""The report of a run: one value that is gathered from its ledger, and the forms it is written in."""

import json
import os
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from elad.errors import InputError, nearest
from elad.ledger.events import FILE, PLAN_FILE, Ledger
from elad.ledger.reconcile import reconcile
from elad.report.page.document import Document
from elad.report.page.markdown import markdown
from elad.report.page.wording import cut
from elad.report.parts import (
    asked,
    bought,
    calibration,
    curve,
    examples,
    first_errors,
    forecast,
    heldout,
    limits,
    outcomes,
    picking,
    spending,
    stages,
    summary,
)
from elad.report.parts.material import read
from elad.report.reviews import reviews
from elad.report.status import status_of
from elad.report.verdict import sentence

_SECTIONS = (
    summary, curve, spending, forecast, calibration, picking, first_errors, examples, heldout, outcomes, stages, asked,
    bought, limits,
)  # fmt: skip
_MOST_CHARS = 500
_PROTECTED = (FILE, PLAN_FILE, "lock")


def gather(folder: Path) -> dict[str, Any]:
    """All that the report tells, as plain JSON values; of a run under way, as it is at one moment.

    Raises: RunFolderError where there is no ledger, or it is damaged, or holds no session.
    """
    with Ledger(folder, write=False) as ledger, ledger.snapshot():
        material = read(ledger)
        status = _of_folder(status_of(ledger), folder)
        books = reconcile(ledger)
        told: dict[str, Any] = {
            "folder": folder.resolve().name,
            "as_of": asked.when(ledger.last_at()),
            "status": status,
            "asked": asked.asked(material),
            "curve": curve.curves(ledger, status, material.settings["seed"]),
            "spending": spending.spending(ledger),
            "calibration": calibration.calibrated(material),
            "picking": picking.picking(material),
            "first_errors": first_errors.first_errors(material),
            "examples": examples.examples(material),
            "wrong": heldout.wrong(material, json.loads(ledger.meta("identity") or "{}")),
            "reviews": reviews(ledger),
            "lost": outcomes.lost_tries(ledger),
            "stages": stages.stages(ledger),
            "happened": limits.happened(ledger),
            "books": {"problems": list(books.problems), "open": len(books.open), "unused": len(books.unused)},
            "bought": bought.bought(material),
        }
    return told | {"sentence": curve.sentence(told), "limits": limits.limits(told)}


def compose(told: dict[str, Any]) -> Document:
    """The document of what was gathered."""
    status = told["status"]
    return Document(
        title=status["name"] or told["folder"],
        state=f"{status['state']} ({status['reason']}), as of {told['as_of']}",
        under_way=status["state"] == "running",
        sections=[part.section(told) for part in _SECTIONS],
    )


def write(folder: Path, to: str, target: Path) -> None:
    """Writes the report of a run; the file appears whole or not at all.

    Raises: InputError for an unknown format, a form that needs a package which is not there, or a file that cannot be
    written or is the run's own; RunFolderError as `gather` does.
    """
    if to not in FORMATS:
        raise InputError(f"--format {to}: unknown format; {nearest(to, FORMATS)}")
    if to == "html" and find_spec("jinja2") is None:
        raise InputError("--format html: the page needs jinja2: pip install 'elad[report]'")
    own = target.name.startswith(_PROTECTED) and target.resolve().parent == folder.resolve()
    if own:
        raise InputError(f"{target}: belongs to the run; give another file")
    text = FORMATS[to](gather(folder))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(scratch, target)
    except OSError as error:
        Path(scratch).unlink(missing_ok=True)
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error


def _html(told: dict[str, Any]) -> str:
    from elad.report.page.hypertext import hypertext

    return hypertext(compose(told))


def _json(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=1, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {
    "html": _html,
    "md": lambda told: markdown(compose(told)),
    "json": _json,
}


def _of_folder(status: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The status as it is handed on: without the folder's path, and without what `elad compare` tells at length."""
    if status["control"]:
        control = {name: told for name, told in status["control"].items() if name != "comparison"}
        words = [one.replace(f"yet: {folder}", f"yet: {folder.resolve().name}") for one in control["sentences"]]
        found = status["control"]["comparison"]
        status = status | {
            "control": control | {"sentences": words, "sentence": sentence(found) if found else words[-1]}
        }
    return status | {name: cut(status[name] or "", _MOST_CHARS) for name in ("name", "reason")}
