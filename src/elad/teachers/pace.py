"""How many requests an endpoint bears at once: found by trying, as a network finds its rate."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime

FIRST_WINDOW = 4.0
_OVERSHOT = 0.5
"""Kept of the window when doubling has overshot, or refusals go on."""
_GRAZED = 0.95
"""Kept of the window when the limit was only touched, long after the last refusal."""
_CALM_WINDOWS = 4
"""So many windows full of answers without a refusal make the next refusal a touch."""
_PROBE = 0.2
"""Share of the usual growth close below the window that was refused last."""
_CATCH_UP = 0.5
"""Of the way back there, a round of answers."""
_SELDOM = 50.0
"""So many times a pause that was asked for must pass before the window that earned it is tried again."""
_FIRST_HOLD_SECONDS = 0.05
_MOST_HOLD_SECONDS = 60.0
_MOST_ASKED_SECONDS = 3600.0
"""Where the endpoint asks for more, it is asked again then."""
_COUNTED = ("requests", "tokens")
"""What endpoints limit, by the names of their headers."""
_PAUSE_AFTER = 3
"""Failures in a row that open the circuit."""
_SLOW, _TOO_SLOW = 0.25, 0.5
"""Shares of the time-out. Above the first a queue grows no longer, above the second it shrinks."""
_LONGER, _QUEUED = 1.5, 2.0
"""An answer so many times the quickest may have waited behind others; so many times the least mean, it has."""
_SMOOTH = 0.2
"""Weight of the newest answer in the mean of how long they took."""
_STUCK_SECONDS = 600.0
"""So long refusals alone are borne, or failures of an endpoint that has answered before; beside one pause asked for."""
_MOST_PATIENCE_SECONDS = 86_400.0
"""Quotas are renewed by the day: a longer pause is not waited for to its end."""
_WORTH_TELLING_SECONDS = 60.0


class Pace:
    """Additive increase, multiplicative decrease, at most `most` requests. Safe for many threads.

    The window doubles with each round of answers until the endpoint refuses one (429), then grows by half the
    way back a round, and carefully near the size that was refused; where a refusal asks for a pause, that size is
    not tried again before fifty times as long. A refusal shrinks it once, however many
    requests were under way. What headers ask for is obeyed: no request before `Retry-After`, none
    after the last one that `x-ratelimit-remaining-requests` allows. Failures in a row pause everything,
    each longer than the last. An endpoint that refuses nothing and lets requests wait is not led into its
    time-out: the window does not grow on answers that took a quarter of `timeout_seconds` and half more than the
    quickest, and shrinks as on a refusal when their mean is half of it and twice what it was.
    """

    def __init__(
        self,
        most: int,
        clock: Callable[[], float] = time.monotonic,
        timeout_seconds: float = math.inf,
        tell: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`tell` hears the seconds of each pause of more than a minute."""
        self._most = most
        self._clock = clock
        self._tell = tell
        self._timeout_seconds = timeout_seconds
        self._quickest = self._least_mean = math.inf
        self._mean = 0.0
        self._count = 0
        self._lock = threading.Lock()
        self._window = min(FIRST_WINDOW, most)
        self._refused_at = math.inf
        """The window at the last refusal; infinite until there was one."""
        self._shrunk = self._careful = -math.inf
        """When the window last shrank, and until when it stays below where it was refused."""
        self._calm = 0
        self._queued = False
        """Whether the window shrank last because requests waited, and not on a refusal."""
        self._refusals = 0
        """Shrinkings since the last answer."""
        self._failures = 0
        self._resume = -math.inf
        self._answered = -math.inf
        self._trouble = math.inf
        """When the first refusal or failure after the last answer came."""
        self._asked = 0.0
        """The longest pause that was asked for since the last answer, in seconds."""

    def room(self, running: int) -> int:
        """How many more requests may start now."""
        with self._lock:
            return 0 if self._clock() < self._resume else max(0, int(self._window) - running)

    @property
    def hold_seconds(self) -> float:
        """Until requests may start again; 0 when they may."""
        with self._lock:
            return max(0.0, self._resume - self._clock())

    @property
    def stuck_seconds(self) -> float | None:
        """For how long nothing but refusals or pauses came, once that is too long to go on.

        The longest pause that was asked for does not count, the others do: an endpoint that refuses after each of
        its pauses has not meant them.
        """
        with self._lock:
            waited = self._clock() - self._trouble
            return waited if (self._refusals or self._asked) and waited > self._patience() else None

    def passing(self, since: float = math.inf) -> bool:
        """Whether failures may pass: the endpoint has answered before, nobody since `since`, and not for too long.

        One that has asked for a pause need not have answered before.
        """
        with self._lock:
            heard = bool(self._asked) or self._answered > -math.inf
            return heard and self._answered < since and self._clock() - self._trouble <= self._patience()

    def answered(self, headers: Mapping[str, str], waited: float | None) -> None:
        """A request was answered after `waited` seconds; None: it was turned down, and never worked on."""
        with self._lock:
            self._answered = self._clock()
            self._trouble = math.inf
            self._asked = 0.0
            self._refusals = self._failures = 0
            self._calm += 1
            if waited is not None:
                self._resize(waited)
            for kind in _COUNTED:
                if headers.get(f"x-ratelimit-remaining-{kind}") == "0":
                    self._hold(duration(headers.get(f"x-ratelimit-reset-{kind}", "")) or 0.0, _MOST_ASKED_SECONDS)

    def refused(self, headers: Mapping[str, str], started: float) -> None:
        """A request that was sent at clock time `started` got a 429."""
        with self._lock:
            asked = asked_seconds(headers)
            if started >= self._shrunk:
                self._shrink(queued=False)
                self._refusals += 1
            doubling = _FIRST_HOLD_SECONDS * 2 ** min(self._refusals, 12)
            self._trouble = min(self._trouble, self._clock())
            if asked is not None:
                self._asked = max(self._asked, asked)
                self._careful = self._clock() + _SELDOM * asked
                self._hold(asked, _MOST_ASKED_SECONDS)
            elif self._refusals > 1:
                self._hold(doubling)

    def paused(self, seconds: float) -> None:
        """An endpoint that is out of order asks to be left alone for so long; 0: it asks for nothing."""
        with self._lock:
            if seconds:
                self._trouble = min(self._trouble, self._clock())
                self._asked = max(self._asked, seconds)
                self._hold(seconds, _MOST_ASKED_SECONDS)

    def failed(self) -> None:
        """A request failed after all its retries."""
        with self._lock:
            self._trouble = min(self._trouble, self._clock())
            self._failures += 1
            self._window = max(1.0, self._window * _OVERSHOT)
            if self._failures >= _PAUSE_AFTER:
                self._hold(2.0 ** min(self._failures - _PAUSE_AFTER, 12))

    def _resize(self, waited: float) -> None:
        self._count += 1
        self._quickest = min(self._quickest, waited)
        self._mean += (waited - self._mean) * max(_SMOOTH, 1 / self._count)
        if self._count >= FIRST_WINDOW:
            self._least_mean = min(self._least_mean, self._mean)
        queued = self._mean > max(_TOO_SLOW * self._timeout_seconds, _QUEUED * self._least_mean)
        if queued and self._clock() - waited >= self._shrunk:
            self._shrink(queued=True)
            self._least_mean = self._mean  # where that does not help, it was no queue
        if queued or waited > max(_SLOW * self._timeout_seconds, _LONGER * self._quickest):
            return
        most = min(self._most, self._refused_at - 1 if self._clock() < self._careful else math.inf)
        self._window = max(self._window, min(self._window + self._growth(), most))

    def _growth(self) -> float:
        """What an answer adds to the window."""
        if self._refused_at == math.inf:
            return 1.0
        way = _GRAZED * _GRAZED * self._refused_at - self._window
        catch_up = 1.0 if self._queued else max(1.0, _CATCH_UP * way)  # a refusal costs little, a time-out a reply
        return (catch_up if way > 0 else _PROBE) / self._window

    def _shrink(self, *, queued: bool) -> None:
        self._queued = queued
        touched = self._refused_at < math.inf and self._calm >= _CALM_WINDOWS * self._window
        self._refused_at = self._window
        self._window = max(1.0, self._window * (_GRAZED if touched else _OVERSHOT))
        self._shrunk = self._clock()
        self._calm = 0

    def _patience(self) -> float:
        return _STUCK_SECONDS + min(self._asked, _MOST_PATIENCE_SECONDS)

    def _hold(self, seconds: float, most: float = _MOST_HOLD_SECONDS) -> None:
        now, seconds = self._clock(), min(seconds, most)
        if self._resume - now <= _WORTH_TELLING_SECONDS < seconds:
            self._tell(seconds)
        self._resume = max(self._resume, now + seconds)


def asked_seconds(headers: Mapping[str, str]) -> float | None:
    """How long an endpoint that refuses asks to be left alone: by `Retry-After`, else by its limits; or None."""
    asked = retry_after(headers)
    resets = [duration(headers.get(f"x-ratelimit-reset-{kind}", "")) for kind in _COUNTED]
    return asked if asked is not None else max((reset for reset in resets if reset is not None), default=None)


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """The pause that `Retry-After` asks for, in seconds or up to a date; None where it cannot be read.

    >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, now=lambda: 45.0)
    15.0
    """
    told = headers.get("retry-after", "")
    asked = duration(told)
    if asked is None and told:
        with suppress(ValueError):
            asked = max(0.0, parsedate_to_datetime(told).timestamp() - now())
    return asked


def duration(text: str) -> float | None:
    """Seconds that a header names: `2`, `1.5`, `20ms`, `1m30s`; None for anything else, also for a date.

    >>> duration("1m30s"), duration("20ms"), duration("2"), duration("soon")
    (90.0, 0.02, 2.0, None)
    """
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    total, digits, rest = 0.0, "", text.strip().lower()
    while rest:
        digits = rest[: next((i for i, c in enumerate(rest) if c not in "0123456789."), len(rest))]
        rest = rest[len(digits) :]
        unit = next((name for name in units if rest.startswith(name)), "")
        rest = rest[len(unit) :]
        try:
            total += float(digits) * units[unit or "s"]
        except ValueError:
            return None
        if not unit and rest:
            return None
    return total if digits and math.isfinite(total) else None
