"""Text that a model or a stranger wrote, as it may stand in a page: escaped, bounded, and with nothing hidden in it.

Characters that turn the direction of text or have no shape of their own are named where they stand, so that what a
reviewer reads is what is there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from markupsafe import Markup, escape

MOST_CHARACTERS = 20_000
"""More of one text is not shown, and that is told."""
_MOST_COMPARED = 4_000
"""Characters; longer texts are not compared word by word."""
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_SHADES = 10


def shown(text: str | None) -> Markup:
    """The text as HTML: what is hidden in it named, its end left out where it is longer than a person reads.

    >>> shown("<b>\u202e")
    Markup('&lt;b&gt;<span class="hidden">U+202E</span>')
    """
    told = text or ""
    html = _HIDDEN.sub(_named, str(escape(told[:MOST_CHARACTERS])))
    left = len(told) - MOST_CHARACTERS
    more = f' <em class="cut">… and {left:,} more characters, which are not shown</em>' if left > 0 else ""
    return Markup(html + more)


def brief(text: str | None, most: int = 120) -> Markup:
    """The beginning of the text on one line."""
    line = " ".join((text or "")[: 4 * most].split())
    return shown(line if len(line) <= most else line[: most - 1] + "…")


def _named(match: re.Match[str]) -> str:
    return f'<span class="hidden">U+{ord(match[0]):04X}</span>'


def shade(value: float | None) -> str:
    """The class of the tint for an uncertainty in 0..1, `u0` to `u9`; none where there is no value.

    >>> shade(0.0), shade(0.55), shade(1.0), shade(None)
    ('u0', 'u5', 'u9', '')
    """
    return "" if value is None else f"u{max(0, min(_SHADES - 1, int(value * _SHADES)))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A run of words of two texts: in both (`same`), in the first only (`gone`), or in the second only (`new`)."""

    kind: str
    text: str


def difference(before: str, after: str) -> list[Piece]:
    """The two texts word by word; as a whole each, where they are too long to be compared."""
    if max(len(before), len(after)) > _MOST_COMPARED:
        return [Piece(kind="gone", text=before), Piece(kind="new", text=after)]
    return list(_pieces(_WORDS.findall(before), _WORDS.findall(after)))


def _pieces(before: list[str], after: list[str]) -> Iterator[Piece]:
    for tag, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            yield Piece(kind="same", text="".join(before[a:b]))
            continue
        if b > a:
            yield Piece(kind="gone", text="".join(before[a:b]))
        if d > c:
            yield Piece(kind="new", text="".join(after[c:d]))
