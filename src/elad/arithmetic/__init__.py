"""Arithmetic that a text claims, and the numbers it states, as exact fractions.

The text is untrusted: nothing is evaluated but the small grammar of `grammar.py`, within
bounds on length, digits, exponents and nesting. Where a reading is in doubt, nothing is claimed: a wrong step
is better missed than a right one blamed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from elad.arithmetic.chains import Chains, Side
from elad.arithmetic.grammar import Value
from elad.arithmetic.numerals import numbers
from elad.arithmetic.tokens import MAX_TEXT, Cursor, tokens

__all__ = ["Claim", "claims", "numbers"]

_TOLERANCE = Fraction(1, 10_000)
_ROUGH = Fraction(1, 1000)
"""Relative tolerance behind "about" and "≈", whose other side is often computed from rounded numbers."""
_MARK = re.compile(r"<<([^<>\n]{1,200})>>")

_FAMILIES = {
    unit: family
    for family, units in {
        "time": "second sec minute min hour hr day week month year decade",
        "length": "inche inch foot feet ft yard yd mile mi mm cm m km meter metre centimeter kilometer",
        "weight": "ounce oz pound lb ton gram g kg kilogram mg",
        "volume": "cup pint quart gallon liter litre l ml milliliter teaspoon tablespoon",
        "money": "$ dollar cent penny pennie nickel dime quarter",
        "count": "dozen pair couple hundred thousand million billion",
    }.items()
    for unit in units.split()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claimed equality: the half-open span `[start, end)` of the text."""

    text: str
    start: int
    end: int
    left: Fraction | None
    """Exact value of the first side; None where it divides by zero."""
    right: Fraction | None
    """Exact value of the last side, the result as it is stated; None where it divides by zero."""
    holds: bool
    """Whether each two neighbouring sides are equal; never where one divides by zero."""


@lru_cache(maxsize=512)  # a chain is judged by several rules, and in several ways, one after the other
def claims(text: str) -> tuple[Claim, ...]:
    """The arithmetic that a text claims, in order.

    Unit words, and remarks in brackets, are passed over behind a number. A result with decimals
    holds when it is the exact value rounded (before "..." also cut) to as many, a whole one when it
    is exact, both within 1e-4; behind "about" and "≈" a whole one may be rounded, and any 0.1 % off.
    "10/40 = 25%" and "10/40 * 100 = 25%" both hold. Beyond 200,000 characters nothing is read.

    Not claims: anything with an unknown ("2x + 1 = 7"), equalities without an operator ("x = 5"), a
    sum of a percentage and a plain number, and, unless it holds, what mixes units of one kind
    ("1 hour - 20 minutes = 40 minutes").

    >>> [(claim.text, claim.holds) for claim in claims("He pays 3 * $4 = $12, so 20 - 12 = 9 is left.")]
    [('3 * $4 = $12', True), ('20 - 12 = 9', False)]
    """
    text = text[:MAX_TEXT]
    found = list(_claims(_MARK.sub(lambda mark: " " * len(mark[0]), text), text, 0))
    outer = iter(tuple(found))
    around = next(outer, None)
    for mark in _MARK.finditer(text):
        while around and around.end <= mark.start():
            around = next(outer, None)
        for claim in _claims(mark[1], mark[1], mark.start(1)):
            # "48/2 = <<48/2=24>>24" says one thing twice.
            if not (around and around.start <= claim.start and around.holds == claim.holds):
                found.append(claim)
    return tuple(sorted(found, key=lambda claim: claim.start))


def _claims(text: str, source: str, offset: int) -> Iterator[Claim]:
    """Claims of `text`, which stands at `offset`; `source` is `text` with nothing blanked out."""
    chains = Chains(Cursor(tokens(text)))
    while not chains.finished:
        sides = _arithmetic(chains.read())
        if sides:
            start, end = sides[0].start, sides[-1].sum.end
            yield Claim(
                text=source[start:end],
                start=start + offset,
                end=end + offset,
                left=sides[0].sum.result.value,
                right=sides[-1].sum.result.value,
                holds=_holds(sides),
            )


def _arithmetic(sides: list[Side]) -> list[Side]:
    """The sides that make one claim; none where they are no arithmetic or their reading is in doubt."""
    if sides and sides[0].lone and sides[0].worded:
        sides = sides[1:]
    if len(sides) < 2 or all(side.lone for side in sides):
        return []
    if _holds(sides):
        return sides
    first = sides[0].sum.result
    if first.share and sides[0].sum.worded and first.value is not None and first.value < 1:
        return []
    units = frozenset[str]().union(*(side.sum.units for side in sides))
    families = [_FAMILIES[unit] for unit in units if unit in _FAMILIES]
    return [] if "count" in families or len(set(families)) < len(families) else sides


def _holds(sides: list[Side]) -> bool:
    return all(_equal(left.sum.result, right.sum.result, rough=right.rough) for left, right in pairwise(sides))


def _equal(left: Value, right: Value, *, rough: bool) -> bool:
    """Whether two values are equal as exactly as they are written, one of them perhaps in percent."""
    if left.value is None or right.value is None:
        return False
    scales = {Fraction(1)}
    if left.percent != right.percent:
        scales.add(Fraction(100) if left.percent else Fraction(1, 100))
    least = max(_TOLERANCE, abs(right.value) * _ROUGH if rough else Fraction(0))
    return any(
        abs(left.value * scale - right.value) <= max(least, _slack(left, rough) * scale, _slack(right, rough))
        for scale in scales
    )


def _slack(written: Value, rough: bool) -> Fraction:
    """How far a number may be from the exact value because of the decimals it is written with."""
    if written.decimals is None or not (written.decimals or rough or written.percent):
        return Fraction(0)
    unit = Fraction(1, 10**written.decimals * (100 if written.percent else 1))
    return unit if written.cut else unit / 2
