r"""Text -> the tokens of arithmetic: numbers, operators, relations, brackets, words.

LaTeX ("\times", "\frac", "\$", "\text{...}") and Unicode signs are read as what they mean. What is no
part of arithmetic becomes a token of kind `odd` or `other`, so that the reader sees that it is there.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

MAX_TEXT = 200_000
"""Characters that are read of one text."""
_MAX_DIGITS = 40

_TOKEN = re.compile(
    r"""
    (?P<text>\\(?:text|textbf|textit|mathrm|mbox)\ ?\{(?P<inner>[^{}]{0,200})\})
  | (?P<break>(?m:^)\(?\d{1,2}[.)](?=[ \t])|\\\\|\\[\[\]]|[\r\n](?!\s{0,40}&?=)|=>|->|[→⇒—;"“”‘’]
      |\\(?:implies|[Rr]ightarrow)(?![A-Za-z]))
  | (?P<skip>\s+|\\(?:left|right|boxed|q?quad|displaystyle)(?![A-Za-z])|\\[,!;:\ ()]
      |\\?\$(?!\s?[\d.½¼¾⅓⅔])|(?<![\d)])\*\*+|\*\*+(?![\d(])|&)
  | (?P<odd>\d{1,2}(?P<d>[/-])\d{1,2}(?P=d)\d{4}(?!\d)|\d{4}(?P<y>[/-])\d{1,2}(?P=y)\d{1,2}(?!\d)
      |\d+(?:\.\d*)?\\(?:overline|bar|dot)|\d+(?::\d+)+|[≠≤≥<>!]=?)
  | (?P<number>(?P<coin>(?:US)?\\?[$£€₹]\s?|(?<![A-Za-z])Rs\.?\s?)?
      (?P<digits>\d{1,4}\ \d{1,3}/\d{1,3}(?![\d/])|\d{0,4}[½¼¾⅓⅔]|\d+(?:(?:[.,]|\{,\})\d+)*|\.\d+)
      (?P<cut>…|\.\.\.)?)
  | (?P<equals>==?|≈|≅|\\approx(?![a-z])
      |(?<![A-Za-z])(?:is\ equal\ to|equal\ to|equals|is|are|gives|makes)(?![A-Za-z'’]))
  | (?P<percent>\\?%|(?<![A-Za-z])per\ ?cent(?![A-Za-z]))
  | (?P<share>(?<![A-Za-z])(?i:(?:(?:a|one)[\ -])?(?:half|third|quarter|fourth|fifth)
      |(?:two|three|four)[\ -](?:halves|thirds|quarters|fourths|fifths))(?=\ of\s))
  | (?P<power>\^|(?<=[\d)])\*\*(?=[\d(])|[²³])
  | (?P<plus>\+|(?<![A-Za-z])plus(?![A-Za-z]))
  | (?P<minus>[-−–]|(?<![A-Za-z])minus(?![A-Za-z]))
  | (?P<times>[*×·⋅∙]|\\(?:times|cdot|ast)(?![A-Za-z])|(?<=[\d)%}\s])[xX](?=\s{0,3}[\d$£€₹({.\\])
      |(?<![A-Za-z])(?:times|multiplied\ by)(?![A-Za-z]))
  | (?P<over>[/÷]|\\div(?![A-Za-z])|(?<![A-Za-z])divided\ by(?![A-Za-z]))
  | (?P<frac>\\[dt]?frac(?![A-Za-z]))
  | (?P<open>[(\[{]) | (?P<close>[)\]}])
  | (?P<word>[^\W\d][\w'’]*)
  | (?P<stop>[.,:?])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d*)(?:\.\d+)?")
_VULGAR = {
    "½": Fraction(1, 2),
    "¼": Fraction(1, 4),
    "¾": Fraction(3, 4),
    "⅓": Fraction(1, 3),
    "⅔": Fraction(2, 3),
}
_DENOMINATORS = {"hal": 2, "thi": 3, "qua": 4, "fou": 4, "fif": 5}
_COUNTS = {"two": 2, "three": 3, "four": 4}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the half-open span `[start, end)`."""

    kind: str
    """The name of its group in the pattern; `end` behind the last."""
    word: str
    """Its text in lower case; of a number, "$" or nothing."""
    start: int
    end: int
    tight: bool
    """No white space before it."""
    value: Fraction = Fraction(0)
    decimals: int = 0
    cut: bool = False
    """A number that goes on: "0.333..."."""


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text, white space and mere layout left out."""
    for found in _TOKEN.finditer(text):
        kind, start = found.lastgroup or "", found.start()
        if kind == "skip":
            continue
        word, value, decimals = found[0].lower(), Fraction(0), 0
        if kind == "text":
            word = found["inner"].strip().lower()
        elif kind == "share":
            count, _, name = word.replace("-", " ").rpartition(" ")
            value = Fraction(_COUNTS.get(count, 1), _DENOMINATORS[name[:3]])
        elif kind == "number":
            word = "$" if "$" in (found["coin"] or "") else ""
            read = number(found["digits"])
            if read is None:
                kind = "odd"
            else:
                value, decimals = read
        tight = start > 0 and not text[start - 1].isspace()
        yield Token(kind, word, start, found.end(), tight, value, decimals, bool(found["cut"]))


class Cursor:
    """A place among the tokens of a text; before the first and behind the last stands an `end`."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = [*tokens, Token("end", "", 0, 0, False)]
        self.at = 0

    def __getitem__(self, at: int) -> Token:
        return self._tokens[min(at, len(self._tokens) - 1)]

    @property
    def now(self) -> Token:
        """The token that stands here."""
        return self._tokens[self.at]

    @property
    def before(self) -> Token:
        """The token before this one."""
        return self._tokens[self.at - 1]

    def ahead(self, count: int) -> Token:
        """The token so many places further."""
        return self[self.at + count]

    def take(self) -> Token:
        """The token that stands here; goes on behind it."""
        token = self.now
        self.at += 1
        return token


def number(digits: str) -> tuple[Fraction, int] | None:
    """The value of digits and their number of decimals; None where they are no one number.

    Reads thousands commas, "3 1/2" and "3½". Not one number: "1,2", "1.2.3", "0900", over 40 characters.
    """
    digits = digits.replace("{,}", ",")
    if len(digits) > _MAX_DIGITS:
        return None
    whole, space, part = digits.partition(" ")
    if space:
        over, _, under = part.partition("/")
        return (int(whole) + Fraction(int(over), int(under)), 0) if int(over) < int(under) else None
    if digits[-1] in _VULGAR:
        return int(digits[:-1] or 0) + _VULGAR[digits[-1]], 0
    if not _PLAIN.fullmatch(digits) or (digits[0] == "0" and digits[1:2].isdigit()):
        return None
    return Fraction(digits.replace(",", "")), len(digits.partition(".")[2])
