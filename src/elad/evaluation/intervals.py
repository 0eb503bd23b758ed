"""Intervals around measured numbers, with nothing but the standard library."""

from collections.abc import Sequence
from math import floor, isfinite, sqrt
from random import Random
from statistics import NormalDist, fmean


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share, as (low, high) within 0..1.

    Edge cases: nothing was tried (`n` is 0) -> (0, 1), which is all that is known then.
    Raises: ValueError unless 0 <= successes <= n and 0 < level < 1.
    Source: Wilson 1927, without continuity correction.

    >>> low, high = wilson(8, 10)
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in 0..{n}, not {successes}")
    tail = _tail(level)
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(1 - tail)
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends the formula gives 0 and 1 exactly; rounding must not push the share outside.
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def bootstrap_mean(
    values: Sequence[float], *, seed: int, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean, as (low, high).

    With few values it is too narrow: with 10 normal values, a level of 95 % covers about 90 %.

    Edge cases: one value -> that value twice.
    Raises: ValueError without values, with one that is not finite, and unless resamples >= 1.
    """
    if not values or not all(isfinite(value) for value in values):
        raise ValueError("the bootstrap needs at least one value, and only finite ones")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    tail = _tail(level)
    rng = Random(seed)
    means = sorted(fmean(rng.choices(values, k=len(values))) for _ in range(resamples))
    return quantile(means, tail), quantile(means, 1 - tail)


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    return (1 - level) / 2


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share (0..1) of ascending values lies, between neighbours by a straight line."""
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    # Interpolating outwards from `low` keeps equal neighbours exactly equal.
    low, high = ordered[below], ordered[above]
    return low + (place - below) * (high - low)
