"""Tokens -> chains of sides that a text says are equal: "3 + 4 = 5 + 2 = 7", "12 x 3 is 36"."""

from dataclasses import dataclass

from elad.arithmetic.grammar import Sum, Sums, TooDeepError, UnreadableError
from elad.arithmetic.tokens import Cursor, Token

_FILLERS = frozenset("a an total of about approximately roughly around only just exactly us you almost nearly".split())
_ROUGHLY = frozenset("about approximately roughly around almost nearly ≈ ≅ \\approx".split())
_COMPARISONS = frozenset("more less fewer times greater larger smaller higher lower older younger".split())
_LABELS = frozenset("step day week month year case part problem question round level grade chapter no".split())
_FUNCTIONS = frozenset("of when dividing".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a chain, which begins at the offset `start` of the text."""

    sum: Sum
    start: int
    before: Token
    rough: bool
    """Said to be "about" or "≈" what stands before it."""

    @property
    def lone(self) -> bool:
        """A number and no more."""
        return self.sum.operators == 0

    @property
    def worded(self) -> bool:
        """A word stands right before it, or unit words behind its numbers."""
        return self.sum.worded or self.before.kind in ("word", "text")


class Chains:
    """Reads the chains of one text, from the first token to the last."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._sums = Sums(cursor)

    @property
    def finished(self) -> bool:
        """Whether all tokens were read."""
        return self._cursor.now.kind == "end"

    def read(self) -> list[Side]:
        """The sides of the chain that begins here; none, and at least one token further, where none does."""
        begin = self._cursor.at
        if not self._can_begin():
            return []
        try:
            sides = [self._side(rough=False)]
        except UnreadableError as error:
            self._cursor.at = begin
            if self._cursor.now.kind == "open":
                self._pass_opening(all_of_them=isinstance(error, TooDeepError))
            else:
                self._pass_unknown()
            return []
        while self._cursor.now.kind == "equals" and (side := self._next_side(sides[-1])):
            sides.append(side)
        return sides

    def _next_side(self, left: Side) -> Side | None:
        """The side behind the relation that stands here; None where it is not said to equal `left`."""
        cursor = self._cursor
        relation = cursor.take().word
        rough = relation in _ROUGHLY
        while cursor.now.word in _FILLERS:
            rough = cursor.take().word in _ROUGHLY or rough
        begin = cursor.at
        try:
            side = self._side(rough=rough)
        except UnreadableError:
            cursor.at = begin
            if not relation[0].isalpha():
                self._pass_unknown()
            return None
        if left.lone and side.lone:
            # "12 apples = 24 dollars": no arithmetic; what follows may be.
            cursor.at = begin
            return None
        return None if self._says_other(relation, left, side) else side

    def _can_begin(self) -> bool:
        """Whether a side may begin here; if not, passes over what stands here."""
        cursor = self._cursor
        token, before, follows = cursor.now, cursor.before, cursor.ahead(1)
        fresh = before.kind in ("end", "break", "stop", "equals")
        call = token.kind == "open" and (before.kind == "close" or (token.tight and before.kind == "word"))
        if token.kind in ("number", "share", "frac", "open") and not call:
            return True
        sign = token.kind == "minus" and follows.start == token.end
        if sign and (fresh or before.kind == "open" or (before.kind == "word" and not token.tight)):
            return True
        bullet = fresh and token.kind in ("plus", "minus", "times", "other")
        variable = token.kind == "word" and len(token.word) == 1 and token.word not in "ai"
        operator = token.kind in ("plus", "minus", "times", "over", "power", "odd", "other")
        if variable or call or (operator and not bullet):
            self._pass_unknown()
        else:
            cursor.at += 2 if token.word.removesuffix("s") in _LABELS and follows.kind == "number" else 1
        return False

    def _pass_unknown(self) -> None:
        """Goes on behind the next relation or stop, since an unknown takes part up to there."""
        while self._cursor.now.kind not in ("equals", "break", "stop", "end"):
            self._cursor.at += 1
        if not self.finished:
            self._cursor.at += 1

    def _pass_opening(self, *, all_of_them: bool) -> None:
        """Goes on behind one bracket, or behind all that open here."""
        self._cursor.at += 1
        while all_of_them and self._cursor.now.kind == "open":
            self._cursor.at += 1

    def _side(self, *, rough: bool) -> Side:
        start, before = self._cursor.now.start, self._cursor.before
        return Side(sum=self._sums.read(), start=start, before=before, rough=rough)

    def _says_other(self, relation: str, left: Side, right: Side) -> bool:
        """Whether the relation just read says something else than that both sides are equal."""
        next_few = [self._cursor.ahead(count) for count in range(4)]
        after = [token.word for token in next_few]
        mixed = [token.kind for token in next_few[:3]] == ["word", "number", "over"] and after[0] == "and"
        if "remainder" in after or after[0] == "r" or mixed:
            return True
        if not relation[0].isalpha():
            return False
        # "3/5 is 9 days on" (a date), "the last digit of 3 * 7 is 1".
        doubtful = (left.sum.operators == 1 and left.sum.result.share) or left.before.word in _FUNCTIONS
        equal = left.sum.result.value == right.sum.result.value
        return after[0] in _COMPARISONS or left.lone or (doubtful and not equal)
