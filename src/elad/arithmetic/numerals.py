"""The values that a text states, in digits or in English words."""

import re
from collections.abc import Iterator
from fractions import Fraction

from elad.arithmetic.tokens import MAX_TEXT, number

_PIECE = re.compile(
    r"""
    (?P<sign>[-−–](?=[$£€₹.\d½¼¾⅓⅔]))?(?:[$£€₹]\s?)?
      (?:(?P<over>\d{1,4})/(?P<under>\d{1,3})(?![\d/])
        |(?P<digits>\d{1,4}\ \d{1,3}/\d{1,3}(?![\d/])|\d{0,4}[½¼¾⅓⅔]|\d+(?:(?:[.,]|\{,\})\d+)*|\.\d+)
        (?P<ordinal>(?:st|nd|rd|th)(?![A-Za-z]))?)
  | \\[dt]?frac\{(?P<top>\d{1,4})\}\{(?P<bottom>\d{1,3})\}
  | (?P<word>[^\W\d_][\w]*)
  | (?P<other>[^\s-])
    """,
    re.VERBOSE,
)
_ONES = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * tens
    for tens, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
_SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_THOUSANDS = frozenset(("thousand", "million", "billion"))
_HUNDREDS = _THOUSANDS | {"hundred"}
_ADDENDS = frozenset((*_ONES, *_TENS))
_PARTS = {
    part: denominator
    for words, denominator in {
        "half halves": 2,
        "third thirds": 3,
        "quarter quarters fourth fourths": 4,
        "fifth fifths": 5,
        "sixth sixths": 6,
        "eighth eighths": 8,
        "tenth tenths": 10,
    }.items()
    for part in words.split()
}
_MULTIPLES = {
    "twice": 2,
    "double": 2,
    "doubled": 2,
    "pair": 2,
    "couple": 2,
    "thrice": 3,
    "triple": 3,
    "tripled": 3,
}


def numbers(text: str) -> tuple[Fraction, ...]:
    """The values that a text states, in order, in digits or in English words.

    A percentage counts as the number that is written ("20%" is 20). A tight fraction below 1 counts
    as one value ("3/4"), any other as its two numbers. One value each: "2.5 million", "two and a
    half", "three dozen", "two thirds"; "twice", "double", "pair" and "couple" are 2. Ordinals state
    nothing, but "third", "fifth" and the like do after a number or "a", or before "of". A minus is a
    sign only where no number stands before it. Beyond 200,000 characters nothing is read.

    >>> [str(value) for value in numbers("Half of 1,250 birds, 20% of them red, at -$3.50 and two dozen eggs.")]
    ['1/2', '1250', '20', '-7/2', '24']
    """
    return tuple(_Numerals(text[:MAX_TEXT]).values())


class _Numerals:
    """Reads the pieces of one text from the first to the last."""

    def __init__(self, text: str) -> None:
        self._pieces = list(_PIECE.finditer(text))
        self._at = 0

    def values(self) -> Iterator[Fraction]:
        """All values, in order."""
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            if piece["word"] is not None:
                value = self._words()
                yield from () if value is None else (value,)
            elif piece["over"] and int(piece["over"]) >= int(piece["under"]):
                self._at += 1
                yield from (Fraction(piece["over"]), Fraction(piece["under"]))
            else:
                value = self._digits()
                yield from () if value is None else (value,)

    def _word(self, ahead: int = 0) -> str | None:
        """The word at, or `ahead` of, where we are; None for anything else."""
        at = self._at + ahead
        found = self._pieces[at]["word"] if at < len(self._pieces) else None
        return found.lower() if found is not None else None

    def _digits(self) -> Fraction | None:
        piece = self._pieces[self._at]
        signed = piece["sign"] and self._may_be_signed()
        value = self._written(piece)
        self._at += 1
        if value is None:
            return None
        for _ in range(2):
            if scale := _SCALES.get(self._word() or ""):
                value *= scale
                self._at += 1
        value += self._and_part()
        return -value if signed else value

    def _written(self, piece: re.Match[str]) -> Fraction | None:
        top, bottom = piece["over"] or piece["top"], piece["under"] or piece["bottom"]
        if top:
            return Fraction(int(top), int(bottom)) if int(top) < int(bottom) else None
        if not piece["digits"] or piece["ordinal"]:
            return None
        read = number(piece["digits"])
        return read[0] if read else None

    def _may_be_signed(self) -> bool:
        """Whether nothing stands before the minus that it could subtract from or be a hyphen to."""
        if self._at == 0:
            return True
        before, piece = self._pieces[self._at - 1], self._pieces[self._at]
        if before["word"] is not None:
            return before.end() < piece.start()
        return before["other"] is not None and before["other"] not in ")]}%"

    def _words(self) -> Fraction | None:
        word, follows = self._word() or "", self._word(1) or ""
        if word in ("a", "an") and (follows in _PARTS or follows in _SCALES):
            self._at += 1
            return self._part(Fraction(1)) if follows in _PARTS else self._cardinal()
        if word in _ONES or word in _TENS or word in _SCALES:
            count = self._cardinal()
            return self._part(count) if self._word() in _PARTS else count + self._and_part()
        if word in ("half", "quarter") or (word in _PARTS and follows == "of"):
            return self._part(Fraction(1))
        self._at += 1
        return Fraction(_MULTIPLES[word]) if word in _MULTIPLES else None

    def _part(self, count: Fraction) -> Fraction:
        """So many of the part that stands here, with what it is a part of: "half a dozen"."""
        value = count / _PARTS[self._word() or ""]
        self._at += 1
        if self._word() in ("a", "an") and (scale := _SCALES.get(self._word(1) or "")):
            self._at += 2
            return value * scale
        return value

    def _and_part(self) -> Fraction:
        """The rest of "two and a half"; 0 where there is none."""
        if self._word() == "and" and self._word(1) == "a" and self._word(2) in ("half", "quarter"):
            self._at += 2
            return self._part(Fraction(1))
        return Fraction(0)

    def _cardinal(self) -> Fraction:
        """The number that is spelt here: "three hundred and twenty-five"."""
        total, group, begin = 0, 0, self._at
        while True:
            word = self._word() or ""
            first = self._at == begin
            if word in _THOUSANDS and (first or group > 0):
                total, group = total + max(group, 1) * _SCALES[word], 0
            elif word in ("hundred", "dozen") and (first or 0 < group < 100):
                group = max(group, 1) * _SCALES[word]
            elif word in _TENS and (first or (group % 100 == 0 and group + total)):
                group += _TENS[word]
            elif word in _ONES and (first or _goes_on(total, group, _ONES[word])):
                group += _ONES[word]
            elif not (word == "and" and self._word(-1) in _HUNDREDS and self._word(1) in _ADDENDS):
                return Fraction(total + group)
            self._at += 1


def _goes_on(total: int, group: int, ones: int) -> bool:
    """Whether `ones` belongs to the number spelt so far: "twenty | five", "one hundred | twelve"."""
    if group % 100 == 0:
        return bool(ones and total + group)
    return 0 < ones < 10 and group % 10 == 0 and group % 100 >= 20
