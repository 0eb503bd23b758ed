r"""Tokens -> the value of a sum, by recursive descent over this grammar.

    sum     := product (("+" | "-") product)*
    product := signed (("*" | "/" | "of" | nothing before a tight "(") signed)*
    signed  := ("+" | "-")* power
    power   := primary ("^" integer)?
    primary := number "%"? units | "(" sum ")" "%"? units | "\frac" "{" sum "}" "{" sum "}" units

Units are words, rates ("/day") and remarks in brackets; they count only where the sum goes on, or is
compared, behind them.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from elad.arithmetic.tokens import Cursor, Token

_MAX_EXPONENT = 64
_MAX_BITS = 4096
_MAX_DEPTH = 24
_MAX_SIGNS = 3
_MAX_WORDS = 8
"""Unit words behind one number; a remark may have four more."""

_CLAUSE = frozenset(
    "is are was were be and or but so then thus therefore hence if because since which that who when where while "
    "equals gives makes we he she it they i you there has have had will would should can must let".split()
)
_ARTICLES = frozenset("the these those his her their its".split())
_TIME = frozenset("second minute hour day week month year hr".split())
_TIGHT_UNITS = frozenset("cm mm km kg mg ml ft in lb oz hr".split())
_LETTER_UNITS = frozenset("a i g l m".split())


class UnreadableError(Exception):
    """What stands here is not arithmetic of known numbers."""


class TooDeepError(UnreadableError):
    """Brackets are nested deeper than anyone writes them."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a part of a sum comes to."""

    value: Fraction | None
    """None where it divides by zero."""
    decimals: int | None = None
    """Decimals of a number that stands alone; None for anything else."""
    percent: bool = False
    share: bool = False
    """A percentage or a fraction ("2/3", not "2 / 3"), so that "of" may follow."""
    cut: bool = False
    """A number that goes on: "0.333..."."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A sum that was read, up to the offset `end` of the text."""

    result: Value
    end: int
    operators: int
    units: frozenset[str]
    """Unit words in the singular, "$" among them."""
    worded: bool
    """Unit words stand behind one of its numbers."""


class Sums:
    """Reads sums where a cursor stands."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._depth = 0
        self._operators = 0
        self._worded = False
        self._units: set[str] = set()
        self._end = 0

    def read(self) -> Sum:
        """The sum that begins here. Raises: UnreadableError, with the cursor anywhere behind."""
        self._depth, self._operators, self._worded, self._units = 0, 0, False, set()
        result = self._sum()
        if self._goes_on():
            raise UnreadableError
        return Sum(
            result=result,
            end=self._end,
            operators=self._operators,
            units=frozenset(self._units),
            worded=self._worded,
        )

    @property
    def _now(self) -> Token:
        return self._cursor.now

    def _take(self) -> Token:
        token = self._cursor.take()
        self._end = token.end
        return token

    def _goes_on(self) -> bool:
        """Whether the side goes on with what cannot be read."""
        token, inside = self._now, self._cursor.ahead(1)
        if token.kind == "open":
            return self._operators > 0 and inside.kind != "word"
        return (
            token.kind in ("number", "frac", "odd")
            or token.word == "\\"
            or (token.tight and token.kind in ("other", "word"))
        )

    def _sum(self) -> Value:
        left = self._product()
        while self._now.kind in ("plus", "minus"):
            sign = 1 if self._take().kind == "plus" else -1
            right = self._product()
            if left.percent != right.percent:
                raise UnreadableError
            self._operators += 1
            if left.value is None or right.value is None:
                left = Value(None)
            else:
                left = Value(_bounded(left.value + sign * right.value), percent=left.percent)
        return left

    def _product(self) -> Value:
        left = self._signed()
        while True:
            if self._now.kind == "over":
                left = self._divided(left)
                continue
            if self._now.word == "of" and left.share:
                self._take()
                if self._now.word in _ARTICLES:
                    self._take()
            elif self._now.kind == "times":
                self._take()
            elif not (self._now.kind == "open" and self._now.tight):
                return left
            left = self._times(left, self._signed())

    def _divided(self, left: Value) -> Value:
        spaced = not (self._take().tight and self._now.tight)
        right = self._signed()
        if spaced and right.decimals is not None and self._now.kind == "over" and self._now.tight:
            # "60 / 3/4" is written for 60 / (3/4).
            self._take()
            right = self._ratio(right, self._signed())
        return self._ratio(left, right, spaced=spaced)

    def _times(self, left: Value, right: Value) -> Value:
        self._operators += 1
        if left.value is None or right.value is None:
            return Value(None)
        # "0.7 * 100%" is still a percentage, "50 * 20%" is not.
        percent = (left.percent and left.value == 1) != (right.percent and right.value == 1)
        return Value(_bounded(left.value * right.value), percent=percent)

    def _ratio(self, left: Value, right: Value, *, spaced: bool = False) -> Value:
        self._operators += 1
        if left.value is None or not right.value:
            return Value(None)
        share = not spaced and left.decimals is not None and right.decimals is not None
        return Value(_bounded(left.value / right.value), share=share)

    def _signed(self) -> Value:
        sign, signs = 1, 0
        while self._now.kind in ("plus", "minus"):
            signs += 1
            if signs > _MAX_SIGNS:
                raise UnreadableError
            sign = sign if self._take().kind == "plus" else -sign
        result = self._power()
        if sign > 0 or result.value is None:
            return result
        return replace(result, value=-result.value)

    def _power(self) -> Value:
        base = self._primary()
        if self._now.kind != "power":
            return base
        exponent = self._exponent()
        self._operators += 1
        if base.value is None or (base.value == 0 and exponent < 0):
            return Value(None)
        if abs(exponent) > _MAX_EXPONENT or _bits(base.value) * abs(exponent) > _MAX_BITS:
            raise UnreadableError
        return Value(Fraction(base.value**exponent))

    def _exponent(self) -> int:
        written = self._take().word
        if written in "²³":
            return 2 if written == "²" else 3
        braced = self._now.kind == "open"
        if braced:
            self._take()
        sign = -1 if self._now.kind == "minus" else 1
        if sign < 0:
            self._take()
        token = self._take() if self._now.kind == "number" else None
        if token is None or token.value.denominator != 1 or (braced and self._now.kind != "close"):
            raise UnreadableError
        if braced:
            self._take()
        return sign * int(token.value)

    def _primary(self) -> Value:
        token = self._now
        if token.kind == "number":
            self._take()
            if token.word:
                self._units.add(token.word)
            result = Value(token.value, token.decimals, cut=token.cut)
            if self._now.kind == "frac" and self._now.tight:
                self._take()
                result = _mixed(token.value, self._ratio(self._group(), self._group()))
        elif token.kind == "share":
            self._take()
            result = Value(token.value, share=True)
        elif token.kind == "frac":
            self._take()
            result = self._ratio(self._group(), self._group())
        else:
            result = self._group()
        if self._now.kind == "percent" and result.value is not None:
            self._take()
            result = replace(result, value=result.value / 100, percent=True, share=True)
        self._pass_units()
        return result

    def _group(self) -> Value:
        self._take_a("open")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise TooDeepError
        result = self._sum()
        self._take_a("close")
        self._depth -= 1
        return result

    def _take_a(self, kind: str) -> None:
        if self._now.kind != kind:
            raise UnreadableError
        self._take()

    def _pass_units(self) -> None:
        """Passes over unit words, rates ("/day") and remarks, where the side or the bracket goes on behind them."""
        begin = at = self._cursor.at
        for _ in range(_MAX_WORDS):
            token, follows = self._cursor[at], self._cursor[at + 1]
            if _is_word(token) and not (at == begin and token.word == "of"):
                _check_unit(token, direct=at == begin)
                self._units.add(token.word.removesuffix("s"))
                squared = follows.kind == "power"
                at += 1 + squared + (squared and follows.word == "^")
            elif token.kind == "over" and _is_word(follows) and (follows.tight or follows.word in _TIME):
                _check_unit(follows, direct=False)
                at += 2
                self._cursor.at = at
            elif token.kind == "open" and (behind := self._behind_remark(at)):
                at = behind
            else:
                break
        if self._cursor[at].kind in ("plus", "minus", "times", "over", "equals", "close"):
            self._worded = self._worded or at > begin
            self._cursor.at = at

    def _behind_remark(self, at: int) -> int:
        """Where the text goes on behind a bracket of words alone that opens at `at`; 0 where there is none."""
        for index in range(at + 1, at + _MAX_WORDS + 5):
            token = self._cursor[index]
            if token.kind == "close":
                return index + 1 if index > at + 1 else 0
            if token.kind not in ("word", "text") or (len(token.word) == 1 and token.word not in "ai"):
                return 0
        return 0


def _is_word(token: Token) -> bool:
    return token.kind in ("word", "text") and token.word not in _CLAUSE


def _check_unit(token: Token, *, direct: bool) -> None:
    """Refuses what is an unknown and no unit: "2x", "2 ab", "5th"."""
    if token.kind == "text":
        return
    glued = direct and token.tight
    if any(not letter.isalpha() and letter not in "'’" for letter in token.word):
        raise UnreadableError
    if (len(token.word) == 1 and (glued or token.word not in _LETTER_UNITS)) or (
        len(token.word) == 2 and glued and token.word not in _TIGHT_UNITS
    ):
        raise UnreadableError


def _mixed(whole: Fraction, part: Value) -> Value:
    if whole.denominator != 1 or part.value is None or not 0 < part.value < 1:
        raise UnreadableError
    return Value(whole + part.value)


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _bounded(value: Fraction) -> Fraction:
    if _bits(value) > _MAX_BITS:
        raise UnreadableError
    return value
