"""What a campaign may still spend, request by request: reserved before sending, settled by the reply."""

from collections import deque
from collections.abc import Callable
from enum import Enum
from math import ceil

from elad.ledger.budget import Budget
from elad.records import Charge

WARN_AT = (0.5, 0.8, 0.95)
_LEAST_SEEN = 20
_MOST_SEEN = 1000
_UPPER_SHARE = 0.95
_SAFETY = 1.25


class Wait(Enum):
    """The one answer of `Account.admit` that is neither yes nor no."""

    WAIT = "wait"
    """It does not fit beside what is in flight; when that has settled, it may."""


class Account:
    """Spent, plus the worst case of everything in flight, never exceeds a cap.

    A request is admitted at its worst case: every byte of the prompt a token, the reply as long as it
    may be. Where that no longer fits and nothing is in flight, it may be admitted for a shorter reply
    (`short_reply`), which the teacher is then held to: so the cap holds and is still nearly used up.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        spent: Charge,
        elapsed: Callable[[], float],
        warn: Callable[[str], None],
    ) -> None:
        """`elapsed` gives the working seconds of the run so far; `warn` is told as 50, 80, 95 % are reached."""
        self.spent = spent
        self._budget = budget
        self._elapsed = elapsed
        self._warn = warn
        self._in_flight: dict[str, Charge] = {}
        self._open: dict[str, Charge] = {}
        self._lengths: deque[int] = deque(maxlen=_MOST_SEEN)
        self._warned = dict.fromkeys(budget.shares(spent, elapsed()), 0.0)
        self._look(silently=True)

    def hold(self, key: str, worst: Charge) -> None:
        """Counts a request of an earlier session whose reply may still come when it is asked again."""
        self._open[key] = worst

    def admit(self, key: str, worst: Charge) -> Wait | str | None:
        """None and a reservation; or `WAIT`; or the cap that the request would break, in words."""
        others = [charge for name, charge in self._open.items() if name != key]
        reserved = sum((*others, *self._in_flight.values()), Charge())
        refusal = self._budget.refusal(self.spent, reserved, worst, self._elapsed())
        if refusal:
            return Wait.WAIT if self._in_flight else refusal
        self._open.pop(key, None)
        self._in_flight[key] = worst
        return None

    def settle(self, key: str, charge: Charge) -> None:
        """The request is answered, or lost: its reservation becomes what it cost."""
        del self._in_flight[key]
        self.spent = self.spent + charge
        if not charge.estimated and charge.tokens_out:
            self._lengths.append(charge.tokens_out)
        self._look()

    def short_reply(self) -> int | None:
        """Tokens that nearly all replies stay under, with a margin; None while too few were seen."""
        if len(self._lengths) < _LEAST_SEEN:
            return None
        ordered = sorted(self._lengths)
        return ceil(ordered[ceil(_UPPER_SHARE * len(ordered)) - 1] * _SAFETY)

    def _look(self, *, silently: bool = False) -> None:
        for cap, share in self._budget.shares(self.spent, self._elapsed()).items():
            reached = max((mark for mark in WARN_AT if share >= mark), default=0.0)
            if reached > self._warned[cap]:
                self._warned[cap] = reached
                if not silently:
                    self._warn(f"budget: {share:.0%} of {cap} used")
