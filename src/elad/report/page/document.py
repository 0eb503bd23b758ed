"""A report as a document: what each form of it, page or Markdown, writes down alike.

All strings are plain text that may hold anything: whoever writes them down escapes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under a head, each as long as it. Columns of `words` are read from the left, the others are numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: frozenset[int] = frozenset({0})
    folded: bool = False
    """Whether it is closed until somebody opens it."""
    kind: str = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series of a chart: a line with marks, and what is known of how far it may be off."""

    name: str
    points: Sequence[tuple[float, float]]
    marks: Sequence[tuple[float, float]] = ()
    band: Sequence[tuple[float, float, float]] = ()
    """x, low, high."""
    bars: Sequence[tuple[float, float, float]] = ()
    """The same as single intervals at marks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Lines over two axes; y in per cent from 0 to 100."""

    x: str
    y: str
    lines: Sequence[Line]
    diagonal: bool = False
    """Whether to draw where both axes are equal; x then goes from 0 to 1."""
    kind: str = "lines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Upright bars, one of each series in every category."""

    x: str
    y: str
    categories: Sequence[str]
    series: Sequence[tuple[str, Sequence[float]]]
    kind: str = "bars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Bars that lie, each with a label and its amount in words."""

    x: str
    rows: Sequence[tuple[str, float, str]]
    kind: str = "shares"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Charts side by side with a caption, and the table that says the same in numbers."""

    title: str
    caption: str
    charts: Sequence[Lines | Bars | Shares]
    table: Table
    kind: str = "figure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A text as somebody wrote it."""

    label: str
    text: str
    mark: Literal["", "-", "+"] = ""
    """What became of it: taken out, or put in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a chain with what was said of it."""

    text: str
    uncertainty: float | None
    """0..1 where it is a share; None where it was not scored."""
    told: str
    """The uncertainty in words."""
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One question from end to end."""

    title: str
    facts: Sequence[tuple[str, str]]
    passages: Sequence[Passage] = ()
    steps: Sequence[Step] = ()
    after: Sequence[Passage] = ()
    kind: str = "example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """A paragraph."""

    text: str
    kind: str = "prose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """A list of sentences."""

    entries: Sequence[str]
    kind: str = "points"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading within a section."""

    text: str
    kind: str = "heading"


Part: TypeAlias = Prose | Points | Heading | Table | Figure | Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section; `name` is its anchor."""

    name: str
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The whole report."""

    title: str
    state: str
    """How the run stands, in one line."""
    under_way: bool
    """Whether more is to come."""
    sections: Sequence[Section]
