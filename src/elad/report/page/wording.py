"""How numbers, and texts that somebody else wrote, are put."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

NONE = "–"
"""Where there is nothing to tell."""
_JOINERS = "\u200c\u200d"
"""They shape letters and pictures of many scripts, and order nothing."""
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    r"""The text with what would order, hide or control other text in words: marks of direction above all.

    Line ends and tabs stay, and so do joiners.

    >>> visible("a\u202eb\x00")
    'a⟦U+202E⟧b⟦U+0000⟧'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text.replace("\r\n", "\n")))


def _shown(character: str) -> str:
    if character in "\n\t" or character in _JOINERS or unicodedata.category(character) not in _HIDDEN:
        return character
    return f"⟦U+{ord(character):04X}⟧"


def cut(text: str, most: int) -> str:
    """The text where it has at most so many characters, else its beginning and how many are left out.

    >>> cut("abcdef", 4)
    'abcd [… 2 more characters]'
    """
    return text if len(text) <= most else f"{text[:most]} [… {len(text) - most:,} more characters]"


def brief(text: str, most: int = 72) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text[: 2 * most].split())
    return line if len(line) <= most and len(text) <= 2 * most else f"{line[: most - 1]}…"


def share(value: float) -> str:
    """A share in per cent."""
    return f"{value:.1%}"


def between(bounds: Sequence[float]) -> str:
    """An interval of shares."""
    return f"{bounds[0]:.0%} to {bounds[1]:.0%}"


def money(value: float, currency: str | None) -> str:
    """An amount with its currency."""
    return f"{value:,.4f} {currency}" if currency else f"{value:,.4f}"


def tokens(charge: Mapping[str, Any]) -> str:
    """Tokens in and out."""
    return f"{charge['tokens_in']:,} in + {charge['tokens_out']:,} out"


def seconds(value: float) -> str:
    """A duration: seconds, or minutes and hours where it is long.

    >>> seconds(5.04), seconds(125), seconds(7260)
    ('5.0 s', '2 min 5 s', '2 h 1 min')
    """
    if value < 100:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 100:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count(number: int, what: str, many: str | None = None) -> str:
    """So many of something.

    >>> count(1, "question"), count(1200, "question")
    ('1 question', '1,200 questions')
    """
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def number(value: float | None, digits: int = 2) -> str:
    """A number, or that there is none."""
    return NONE if value is None else f"{value:,.{digits}f}"
