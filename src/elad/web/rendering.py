"""Templates into pages; everything in them is escaped unless `shown` has done so."""

from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from elad.web.reviewing import MOST_CHARACTERS
from elad.web.shown import brief, shown

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(shown=shown, brief=brief)  # pyright: ignore[reportUnknownMemberType]
_TEMPLATES.globals["most"] = MOST_CHARACTERS  # pyright: ignore[reportUnknownMemberType]


def page(name: str, **values: Any) -> HTMLResponse:
    """The template `name` filled in."""
    return HTMLResponse(_TEMPLATES.get_template(name).render(values))
