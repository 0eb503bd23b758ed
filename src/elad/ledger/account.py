"""What a campaign may still spend, request by request: reserved before sending, settled by the reply."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
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
    may be. Where that does not fit, it may be admitted for a shorter reply (`short_reply`), which the
    teacher is then held to: so the cap holds and is still nearly used up.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        spent: Charge,
        elapsed: Callable[[], float],
        warn: Callable[[str], None],
        lengths: Iterable[int] = (),
        as_bought: bool = False,
    ) -> None:
        """`elapsed` gives the working seconds of the run so far; `warn` is told as 50, 80, 95 % are reached.

        `lengths` are those of the replies so far, in tokens. With `as_bought`, a reply of the cache counts as what it
        cost when it was bought, though nothing is paid for it.
        """
        self.spent = spent
        self.as_bought = as_bought
        self._budget = budget
        self._elapsed = elapsed
        self._warn = warn
        self._reserved: dict[str, Charge] = {}
        self._total = Charge()
        """The sum of what is reserved; kept, because there may be hundreds."""
        self._asleep: set[str] = set()
        """Those of the reserved ones that are not in flight in this session."""
        self._lengths: deque[int] = deque(lengths, maxlen=_MOST_SEEN)
        self._warned = dict.fromkeys(budget.shares(spent, elapsed()), 0.0)
        self._look(silently=True)

    def hold(self, key: str, worst: Charge) -> None:
        """Counts a request that is not in flight, and whose reply may still come when it is asked again."""
        self._release(key)
        self._reserve(key, worst)
        self._asleep.add(key)

    def admit(self, key: str, worst: Charge) -> Wait | str | None:
        """None and a reservation; or `WAIT`; or the cap that the request would break, in words."""
        before = self._release(key)
        refusal = self._budget.refusal(self.spent, self._total, worst, self._elapsed())
        if refusal:
            if before:
                self._reserve(key, before)
            return Wait.WAIT if len(self._reserved) > len(self._asleep) else refusal
        self._asleep.discard(key)
        self._reserve(key, worst)
        return None

    def settle(self, key: str, charge: Charge) -> None:
        """The request is answered, or lost: its reservation becomes what it cost."""
        self._release(key)
        self._asleep.discard(key)
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

    def _reserve(self, key: str, worst: Charge) -> None:
        self._reserved[key] = worst
        self._total = self._total + worst

    def _release(self, key: str) -> Charge | None:
        worst = self._reserved.pop(key, None)
        if worst:
            total = self._total
            self._total = replace(
                total,
                calls=total.calls - worst.calls,
                tokens_in=total.tokens_in - worst.tokens_in,
                tokens_out=total.tokens_out - worst.tokens_out,
                money=total.money - worst.money if self._reserved else 0.0,
            )
        return worst

    def _look(self, *, silently: bool = False) -> None:
        for cap, share in self._budget.shares(self.spent, self._elapsed()).items():
            reached = max((mark for mark in WARN_AT if share >= mark), default=0.0)
            if reached > self._warned[cap]:
                self._warned[cap] = reached
                if not silently:
                    self._warn(f"budget: {share:.0%} of {cap} used")
