"""A rate limit in requests a second, told as OpenAI tells it."""

import math


class Bucket:
    """Room for so many requests, filled evenly. Times are seconds on any clock that does not go back."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._size = max(1, math.floor(per_second))
        self._level = float(self._size)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Whether there is room for one more request at `now`; it is taken."""
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        self._level = min(self._size, self._level + elapsed * self._per_second)
        if self._level < 1:
            return False
        self._level -= 1
        return True

    @property
    def seconds_to_room(self) -> float:
        """From the last `take` until there is room for one request; 0 where there is."""
        return max(0.0, 1 - self._level) / self._per_second

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Room in all, room left, and the time from the last `take` until all is free again."""
        return (
            ("x-ratelimit-limit-requests", str(self._size)),
            ("x-ratelimit-remaining-requests", str(math.floor(self._level))),
            ("x-ratelimit-reset-requests", duration((self._size - self._level) / self._per_second)),
        )


def duration(seconds: float) -> str:
    """A time as OpenAI writes it, rounded up to milliseconds.

    >>> duration(0.0171), duration(1), duration(90.5), duration(3600)
    ('18ms', '1s', '1m30.5s', '1h0m0s')
    """
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if minutes or hours:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
