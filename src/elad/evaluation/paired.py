"""Two arms held against each other, paired by seed and held-out question.

S seeds, Q questions. The held-out questions are the same for every seed, so a difference between two arms varies in two
directions at once: from seed to seed (luck in training) and from question to question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress, product
from math import exp, isqrt, lgamma, log, sqrt
from random import Random
from statistics import NormalDist, fmean

Rows = Sequence[Sequence[float]]
"""S rows of Q differences."""

_EXACT_UP_TO = 12
"""Units: 4,096 ways to flip their signs."""
_FLIPS = 9_999
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """What a permutation test found."""

    p: float
    """Two-sided."""
    units: int
    """Differences other than 0 whose signs were flipped."""
    exact: bool
    """Whether all ways were counted, and not a sample of them."""


def mean_difference(rows: Rows, level: float = 0.95) -> Estimate:
    """The mean over seeds and questions with its interval, which covers at its level or above.

    Student's t over the means of the seeds, with S - 1 degrees of freedom; to their variance is added what the
    questions vary by for all seeds alike, which those means cannot show. It is never narrower than the questions
    alone make it. With two seeds it is very wide (t is 12.7), with three 4.3. A bootstrap over so few seeds covers
    too seldom (docs/design.md) [D].

    Raises: ValueError with fewer than two seeds or questions, which say nothing of how others vary.
    """
    s, q = len(rows), len(rows[0])
    if s < 2 or q < 2:
        raise ValueError(f"an interval needs at least two seeds and two questions, not {s} and {q}")
    by_seed = [fmean(row) for row in rows]
    by_question = [fmean(column) for column in zip(*rows, strict=True)]
    mean = fmean(by_seed)
    left = sum(
        (value - one - other + mean) ** 2
        for row, one in zip(rows, by_seed, strict=True)
        for value, other in zip(row, by_question, strict=True)
    ) / ((s - 1) * (q - 1))
    seeds = sum((one - mean) ** 2 for one in by_seed) / (s - 1) / s
    questions = (sum((other - mean) ** 2 for other in by_question) / (q - 1) - left / s) / q
    shared, share = max(0.0, questions), 1 - (1 - level) / 2
    half = max(
        student_t(share, s - 1) * sqrt(seeds + shared),
        NormalDist().inv_cdf(share) * sqrt(left / (s * q) + shared),  # seeds that agree by luck prove nothing
    )
    return Estimate(value=mean, low=mean - half, high=mean + half)


def sign_flips(differences: Sequence[float], *, seed: int) -> Flips:
    """How often the sum is as far from 0 as it is, were each difference as likely to have the other sign.

    Up to twelve units all ways are counted; above, they are sampled, and the observed one counts among them, so that
    the test keeps its level (Phipson and Smyth 2010). Units of 0 change nothing. Without units p is 1.
    """
    units = [value for value in differences if abs(value) > _TINY]
    total = sum(units)
    far = abs(total) * (1 - 1e-9)
    if len(units) <= _EXACT_UP_TO:
        sums = [sum(way) for way in product(*((-unit, unit) for unit in units))]
        return Flips(p=sum(abs(one) >= far for one in sums) / len(sums), units=len(units), exact=True)
    rng = Random(seed)
    hits = 1
    for _ in range(_FLIPS):
        kept = map(int, format(rng.getrandbits(len(units)), f"0{len(units)}b"))
        hits += abs(2 * sum(compress(units, kept)) - total) >= far
    return Flips(p=hits / (_FLIPS + 1), units=len(units), exact=False)


@cache
def student_t(share: float, freedom: float) -> float:
    """The value below which Student's t with so many degrees of freedom (any number above 0) lies with chance `share`.

    >>> round(student_t(0.975, 4), 6)
    2.776445
    """
    if share < 0.5:
        return -student_t(1 - share, freedom)
    low, high = 0.0, 1.0
    while _above(high, freedom) > 1 - share:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _above(middle, freedom) > 1 - share else (low, middle)
    return (low + high) / 2


def _above(t: float, freedom: float) -> float:
    """The chance of a value above `t`, for t of at least 0."""
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function. Source: its continued fraction, DLMF 8.17.22."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    fraction = 1.0
    for m in range(20 + 2 * isqrt(int(a + b)), 0, -1):  # from within outwards
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        fraction = 1 + even / fraction
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        fraction = 1 + odd / fraction
    return front / fraction
