"""The document as one page that needs nothing else: no network, no script, style and drawings within."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from elad.report.page.document import Document, Table
from elad.report.page.drawing import chart
from elad.report.page.wording import visible

PAGE_ROWS = 100
"""Rows of a table that are shown at a time."""
_TINTS = 5
_FOLDER = Path(__file__).parent


def hypertext(document: Document) -> str:
    """The page. Every string of the document is escaped, and its marks of direction are shown in words.

    The page allows nothing but its own style sheet, by its hash: what a text might smuggle in is not run.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        document=document,
        style=Markup(style),
        style_hash=b64encode(sha256(style.encode()).digest()).decode(),
        chart=chart,
        pages=pages,
        tint=tint,
    )


def _finalized(value: object) -> object:
    """What is put into the page: plain text with its hidden characters shown; markup of our own as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def tint(uncertainty: float | None) -> str:
    """The class of a step by its uncertainty: five of them, and one for what is no share.

    >>> tint(0.0), tint(0.5), tint(1.0), tint(None)
    ('u0', 'u2', 'u4', 'u')
    """
    if uncertainty is None or not 0 <= uncertainty <= 1:
        return "u"
    return f"u{min(int(uncertainty * _TINTS), _TINTS - 1)}"


def pages(table: Table) -> list[tuple[int, Sequence[Sequence[str]]]]:
    """The rows of a table by pages, each with the number of its first row, from 1."""
    return [(start + 1, table.rows[start : start + PAGE_ROWS]) for start in range(0, len(table.rows), PAGE_ROWS)]
