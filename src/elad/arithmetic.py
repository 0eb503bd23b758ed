r"""Arithmetic that a text claims, and the numbers it states, as exact fractions.

A claim is a chain of equal sides, at least one with an operator, and nothing unknown in any:

    chain   := sum (("=" | "is" | ...) sum)+
    sum     := product (("+" | "-") product)*
    product := signed (("*" | "/" | "of" | nothing before "(") signed)*
    signed  := ("+" | "-")* power
    power   := primary ("^" integer)?
    primary := number "%"? unit* | "(" sum ")" unit* | "\frac" "{" sum "}" "{" sum "}"

Where a reading is in doubt, nothing is claimed: a wrong step is better missed than a right one
blamed. The text is untrusted: nothing is evaluated but this grammar, within the bounds below.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

_MAX_TEXT = 200_000
"""Characters that are read; what follows claims nothing."""
_MAX_DIGITS = 40
_MAX_EXPONENT = 64
_MAX_BITS = 4096
_MAX_DEPTH = 24
_TOLERANCE = Fraction(1, 10_000)

_TOKEN = re.compile(
    r"""
    (?P<text>\\(?:text|textbf|textit|mathrm|mbox)\ ?\{(?P<inner>[^{}]{0,200})\})
  | (?P<break>\\\\|\\[\[\]]|[\r\n](?!\s{0,40}&?=)|=>|->|[→⇒—;"“”‘’]|\\(?:implies|[Rr]ightarrow)(?![A-Za-z]))
  | (?P<skip>\s+|\\(?:left|right|boxed|q?quad|displaystyle)(?![A-Za-z])|\\[,!;:\ ()]|(?<![\d)])\*\*+|\*\*+(?![\d(])|&)
  | (?P<odd>\d{1,2}([/-])\d{1,2}\4\d{4}(?!\d)|\d{4}([/-])\d{1,2}\5\d{1,2}(?!\d)|\d+(?::\d+)+|[≠≤≥<>!]=?)
  | (?P<number>(?P<coin>(?:US)?\\?[$£€₹]\s?|(?<![A-Za-z])Rs\.?\s?)?
      (?P<digits>\d{1,4}\ \d{1,3}/\d{1,3}(?![\d/])|\d{0,4}[½¼¾⅓⅔]|\d+(?:(?:[.,]|\{,\})\d+)*|\.\d+)(?P<cut>…|\.\.\.)?)
  | (?P<equals>==?|≈|≅|\\approx(?![a-z])
      |(?<![A-Za-z])(?:is\ equal\ to|equal\ to|equals|is|are|gives|makes)(?![A-Za-z'’]))
  | (?P<percent>\\?%|(?<![A-Za-z])per\ ?cent(?![A-Za-z]))
  | (?P<share>(?<![A-Za-z])(?:(?:a|one|two|three|four)[\ -])?(?:half|third|quarter|fourth|fifth)s?(?=\ of\s))
  | (?P<power>\^|(?<=[\d)])\*\*(?=[\d(])|[²³])
  | (?P<plus>\+|(?<![A-Za-z])plus(?![A-Za-z]))
  | (?P<minus>[-−–]|(?<![A-Za-z])minus(?![A-Za-z]))
  | (?P<times>[*×·⋅∙]|\\(?:times|cdot|ast)(?![A-Za-z])|(?<=[\d)%}\s])[xX](?=\s{0,3}[\d$£€₹({.\\])
      |(?<![A-Za-z])(?:times|multiplied\ by)(?![A-Za-z]))
  | (?P<over>[/÷]|\\div(?![A-Za-z])|(?<![A-Za-z])divided\ by(?![A-Za-z]))
  | (?P<frac>\\[dt]?frac(?![A-Za-z]))
  | (?P<open>[(\[{]) | (?P<close>[)\]}])
  | (?P<word>[^\W\d][\w'’]*)
  | (?P<stop>[.,:?$])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_MARK = re.compile(r"<<([^<>\n]{1,200})>>")
_PLAIN = re.compile(r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d*)(?:\.\d+)?")
_VULGAR = {"½": Fraction(1, 2), "¼": Fraction(1, 4), "¾": Fraction(3, 4), "⅓": Fraction(1, 3), "⅔": Fraction(2, 3)}
_SHARES = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5}
_COUNTS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4}

_CLAUSE = frozenset(
    "is are was were be and or but so then thus therefore hence if because since as which that who when where "
    "while equals gives makes we he she it they i you there has have had will would should can must let".split()
)
_FILLERS = frozenset("a an total of about approximately roughly around only just exactly us you almost nearly".split())
_ROUGHLY = frozenset("about approximately roughly around almost nearly ≈ ≅ \\approx".split())
_COMPARISONS = frozenset("more less fewer times greater larger smaller higher lower older younger".split())
_LABELS = frozenset("step day week month year case part problem question round level grade chapter no".split())
_ARTICLES = frozenset("the these those his her their its that".split())
_TIGHT = frozenset("cm mm km kg mg ml ft in lb oz hr".split())
_LETTER_UNITS = frozenset("agilm")
_FAMILIES = {
    unit: family
    for family, units in {
        "time": "second sec minute min hour hr day week month year decade",
        "length": "inche inch foot feet ft yard yd mile mi mm cm m km meter metre centimeter kilometer",
        "weight": "ounce oz pound lb ton gram g kg kilogram mg",
        "volume": "cup pint quart gallon liter litre l ml milliliter teaspoon tablespoon",
        "money": "dollar cent penny pennie nickel dime quarter",
        "count": "dozen pair couple thousand million billion hundred piece",
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
    """Exact value of the last side, the result as it is stated."""
    holds: bool
    """Whether each two neighbouring sides are equal; never where one divides by zero."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    word: str
    start: int
    end: int
    tight: bool
    """No white space before it."""
    value: Fraction = Fraction(0)
    decimals: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class _Value:
    value: Fraction | None
    decimals: int | None = None
    """Decimals of a number that stands alone; None for anything else."""
    percent: bool = False
    share: bool = False
    """A percentage or a fraction of two numbers, so that "of" may follow."""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class _Side:
    result: _Value
    start: int
    end: int
    operators: int
    worded: bool
    units: frozenset[str]
    rough: bool = False

    @property
    def lone(self) -> bool:
        return self.operators == 0


class _UnreadableError(Exception):
    """What is read here is not arithmetic of known numbers."""


def claims(text: str) -> tuple[Claim, ...]:
    """The arithmetic that a text claims, in order.

    Unit words and remarks in brackets after a number are passed over. A result written with
    decimals holds when it is the exact value rounded (or, before "...", cut) to them; a whole one
    when it is exact, or rounded after "about" or "≈"; all within 1e-4. "10/40 = 25%" and
    "10/40 * 100 = 25%" both hold.

    Not claims: anything with an unknown ("2x + 1 = 7"), equalities without an operator ("x = 5"), a
    sum of a percentage and a plain number, and, unless it holds, what mixes units of one kind
    ("1 hour - 20 minutes = 40 minutes").

    >>> [(claim.text, claim.holds) for claim in claims("He pays 3 * $4 = $12, so 20 - 12 = 9 is left.")]
    [('3 * $4 = $12', True), ('20 - 12 = 9', False)]
    """
    text = text[:_MAX_TEXT]
    found = list(_claims(_MARK.sub(lambda mark: " " * len(mark[0]), text), text, 0))
    spans = [(claim.start, claim.end, claim.holds) for claim in found]
    for mark in _MARK.finditer(text):
        for claim in _claims(mark[1], mark[1], mark.start(1)):
            # "48/2 = <<48/2=24>>24" says one thing twice.
            if not any(a <= claim.start and claim.end <= b and holds == claim.holds for a, b, holds in spans):
                found.append(claim)
    return tuple(sorted(found, key=lambda claim: claim.start))
