r"""Tokens -> chains of equal sides, by recursive descent over this grammar:

    chain   := sum (("=" | "is" | ...) sum)*
    sum     := product (("+" | "-") product)*
    product := signed (("*" | "/" | "of" | nothing before a tight "(") signed)*
    signed  := ("+" | "-")* power
    power   := primary ("^" integer)?
    primary := number "%"? units | "(" sum ")" "%"? units | "\frac" "{" sum "}" "{" sum "}" units
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from elad.arithmetic.tokens import Token

_MAX_EXPONENT = 64
_MAX_BITS = 4096
_MAX_DEPTH = 24
_MAX_SIGNS = 3
_MAX_WORDS = 8
"""Unit words behind one number; words in one remark are four more."""

_CLAUSE = frozenset(
    "is are was were be and or but so then thus therefore hence if because since which that who when where while "
    "equals gives makes we he she it they i you there has have had will would should can must let".split()
)
_FILLERS = frozenset("a an total of about approximately roughly around only just exactly us you almost nearly".split())
_ROUGHLY = frozenset("about approximately roughly around almost nearly ≈ ≅ \\approx".split())
_COMPARISONS = frozenset("more less fewer times greater larger smaller higher lower older younger".split())
_LABELS = frozenset("step day week month year case part problem question round level grade chapter no".split())
_ARTICLES = frozenset("the these those his her their its".split())
_TIME = frozenset("second minute hour day week month year hr".split())
_TIGHT_UNITS = frozenset("cm mm km kg mg ml ft in lb oz hr".split())
_LETTER_UNITS = frozenset("a i g l m".split())


class _UnreadableError(Exception):
    """What stands here is not arithmetic of known numbers."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a part of a side comes to."""

    value: Fraction | None
    """None where it divides by zero."""
    decimals: int | None = None
    """Decimals of a number that stands alone; None for anything else."""
    percent: bool = False
    share: bool = False
    """A percentage or a fraction of two numbers, so that "of" may follow."""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a chain: the half-open span `[start, end)`."""

    result: Value
    start: int
    end: int
    operators: int
    worded: bool
    """Words stand right before it, or unit words behind its numbers."""
    units: frozenset[str]
    rough: bool
    """Said to be "about" or "≈" what stands before it."""

    @property
    def lone(self) -> bool:
        """A number and no more."""
        return self.operators == 0


class Reader:
    """Reads the chains of one text, from the first token to the last."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = [*tokens, Token("end", "", 0, 0, False)]
        self._at = 0
        self._depth = 0
        self._operators = 0
        self._worded = False
        self._units: set[str] = set()
        self._end = 0

    @property
    def finished(self) -> bool:
        """Whether all tokens were read."""
        return self._now.kind == "end"

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    @property
    def _before(self) -> Token:
        return self._tokens[self._at - 1]

    def _take(self) -> Token:
        token = self._now
        self._at += 1
        self._end = token.end
        return token

    def chain(self) -> list[Side]:
        """The sides of the chain that begins here; none, and at least one token further, where none does."""
        begin = self._at
        if not self._can_begin():
            return []
        try:
            sides = [self._side(rough=False)]
        except _UnreadableError:
            self._at = begin
            self._pass_opening() if self._now.kind == "open" else self._pass_unknown()
            return []
        while self._now.kind == "equals":
            relation = self._take().word
            rough = relation in _ROUGHLY
            while self._now.word in _FILLERS:
                rough = self._take().word in _ROUGHLY or rough
            begin = self._at
            try:
                side = self._side(rough=rough)
            except _UnreadableError:
                self._at = begin
                self._pass_unknown()
                break
            if sides[-1].lone and side.lone:
                # "12 apples = 24 dollars": no arithmetic; what follows may be.
                self._at = begin
                break
            if self._says_other(relation, sides[-1], side):
                break
            sides.append(side)
        return sides

    def _can_begin(self) -> bool:
        """Whether a side may begin here; if not, passes over what stands here."""
        token, before = self._now, self._before
        follows = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        fresh = before.kind in ("end", "break", "stop", "equals")
        call = token.kind == "open" and (before.kind == "close" or (token.tight and before.kind == "word"))
        if token.kind in ("number", "share", "frac", "open") and not call:
            return True
        if token.kind == "minus" and fresh and follows.start == token.end:
            return True
        bullet = fresh and token.kind in ("plus", "minus", "times", "other")
        variable = token.kind == "word" and len(token.word) == 1 and token.word not in "ai"
        operator = token.kind in ("plus", "minus", "times", "over", "power", "odd", "other")
        if variable or call or (operator and not bullet):
            self._pass_unknown()
        else:
            self._at += 2 if token.word.removesuffix("s") in _LABELS and follows.kind == "number" else 1
        return False

    def _pass_unknown(self) -> None:
        """Goes on behind the next relation or stop, since an unknown takes part up to there."""
        while self._now.kind not in ("equals", "break", "stop", "end"):
            self._at += 1
        if not self.finished:
            self._at += 1

    def _pass_opening(self) -> None:
        """Goes on behind one bracket, or behind all of them where they are nested too deep."""
        deep = self._depth > _MAX_DEPTH
        self._at += 1
        while deep and self._now.kind == "open":
            self._at += 1

    def _says_other(self, relation: str, left: Side, right: Side) -> bool:
        """Whether the relation just read says something else than that both sides are equal."""
        next_few = self._tokens[self._at : self._at + 4]
        after = [token.word for token in next_few]
        mixed = [token.kind for token in next_few[:3]] == ["word", "number", "over"] and after[0] == "and"
        if "remainder" in after or after[0] == "r" or mixed:
            return True
        if not relation[0].isalpha():
            return False
        date = left.operators == 1 and left.result.share and left.result.value != right.result.value
        return after[0] in _COMPARISONS or left.lone or date

    def _side(self, *, rough: bool) -> Side:
        start, before = self._now.start, self._before
        self._depth, self._operators, self._units = 0, 0, set()
        self._worded = before.kind in ("word", "text")
        result = self._sum()
        if self._goes_on():
            raise _UnreadableError
        return Side(result, start, self._end, self._operators, self._worded, frozenset(self._units), rough)

    def _goes_on(self) -> bool:
        """Whether the side goes on with what cannot be read."""
        token, inside = self._now, self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if token.kind == "open":
            return self._operators > 0 and inside.kind != "word"
        return token.kind in ("number", "frac") or token.word == "\\" or (
            token.tight and token.kind in ("odd", "other", "word")
        )

    def _sum(self) -> Value:
        left = self._product()
        while self._now.kind in ("plus", "minus"):
            sign = 1 if self._take().kind == "plus" else -1
            right = self._product()
            if left.percent != right.percent:
                raise _UnreadableError
            self._operators += 1
            known = left.value is not None and right.value is not None
            left = Value(_bounded(left.value + sign * right.value) if known else None, percent=left.percent)
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
        return self._ratio(left, right)

    def _times(self, left: Value, right: Value) -> Value:
        self._operators += 1
        if left.value is None or right.value is None:
            return Value(None)
        # "0.7 * 100%" is still a percentage, "50 * 20%" is not.
        percent = (left.percent and left.value == 1) != (right.percent and right.value == 1)
        return Value(_bounded(left.value * right.value), percent=percent)

    def _ratio(self, left: Value, right: Value) -> Value:
        self._operators += 1
        if left.value is None or not right.value:
            return Value(None)
        share = left.decimals is not None and right.decimals is not None
        return Value(_bounded(left.value / right.value), share=share)

    def _signed(self) -> Value:
        sign, signs = 1, 0
        while self._now.kind in ("plus", "minus"):
            signs += 1
            if signs > _MAX_SIGNS:
                raise _UnreadableError
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
            raise _UnreadableError
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
            raise _UnreadableError
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
        self._depth += 1
        if self._now.kind != "open" or self._depth > _MAX_DEPTH:
            raise _UnreadableError
        self._take()
        result = self._sum()
        if self._now.kind != "close":
            raise _UnreadableError
        self._take()
        self._depth -= 1
        return result

    def _pass_units(self) -> None:
        """Passes over unit words, rates ("/day") and remarks, where the side or the bracket goes on behind them."""
        begin = at = self._at
        for _ in range(_MAX_WORDS):
            token, follows = self._tokens[at], self._tokens[min(at + 1, len(self._tokens) - 1)]
            if _is_word(token) and not (at == begin and token.word == "of"):
                _check_unit(token, direct=at == begin)
                self._units.add(token.word.removesuffix("s"))
                squared = follows.kind == "power"
                at += 1 + squared + (squared and follows.word == "^")
            elif token.kind == "over" and _is_word(follows) and (follows.tight or follows.word in _TIME):
                _check_unit(follows, direct=False)
                at += 2
                self._at = at
            elif token.kind == "open" and (behind := self._behind_remark(at)):
                at = behind
            else:
                break
        if self._tokens[at].kind in ("plus", "minus", "times", "over", "equals", "close"):
            self._worded = self._worded or at > begin
            self._at = at

    def _behind_remark(self, at: int) -> int:
        """Where the text goes on behind a bracket of words alone that opens at `at`; 0 where there is none."""
        for index in range(at + 1, min(at + _MAX_WORDS + 5, len(self._tokens))):
            token = self._tokens[index]
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
        raise _UnreadableError
    if (len(token.word) == 1 and (glued or token.word not in _LETTER_UNITS)) or (
        len(token.word) == 2 and glued and token.word not in _TIGHT_UNITS
    ):
        raise _UnreadableError


def _mixed(whole: Fraction, part: Value) -> Value:
    if whole.denominator != 1 or part.value is None or not 0 < part.value < 1:
        raise _UnreadableError
    return Value(whole + part.value)


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _bounded(value: Fraction) -> Fraction:
    if _bits(value) > _MAX_BITS:
        raise _UnreadableError
    return value
