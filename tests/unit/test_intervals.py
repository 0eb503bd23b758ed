"""Intervals: known values, properties, and coverage by simulation."""

from math import inf, nan
from random import Random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elad.evaluation.intervals import bootstrap_mean, wilson

counts = st.integers(0, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # By the published formula at z = 1.959964, in exact arithmetic and rounded.
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_known_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(counts)
def test_wilson_properties(pair: tuple[int, int]) -> None:
    successes, n = pair
    low, high = wilson(successes, n)
    assert 0 <= low <= high <= 1
    assert n == 0 or low <= successes / n <= high
    mirrored = wilson(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low))
    wide = wilson(successes, n, level=0.99)
    assert wide[0] <= low
    assert high <= wide[1]


def test_wilson_of_nothing_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.85])
def test_wilson_covers(share: float) -> None:
    rng = Random(1)
    hits = 0
    for _ in range(1000):
        low, high = wilson(sum(rng.random() < share for _ in range(60)), 60)
        hits += low <= share <= high
    assert 920 <= hits <= 990


@settings(max_examples=25)
@given(values, st.integers(0, 2**32))
def test_bootstrap_properties(sample: list[float], seed: int) -> None:
    low, high = bootstrap_mean(sample, seed=seed, resamples=200)
    slack = 1e-9 * max(abs(value) for value in sample)
    assert min(sample) - slack <= low <= high <= max(sample) + slack
    assert (low, high) == bootstrap_mean(sample, seed=seed, resamples=200)
    wide = bootstrap_mean(sample, seed=seed, resamples=200, level=0.99)
    assert wide[0] <= low
    assert high <= wide[1]


def test_bootstrap_of_equal_values_is_a_point() -> None:
    assert bootstrap_mean([0.25] * 8, seed=3) == (0.25, 0.25)
    assert bootstrap_mean([4.0], seed=3) == (4.0, 4.0)


def test_bootstrap_covers() -> None:
    rng = Random(2)
    hits = 0
    for seed in range(200):
        low, high = bootstrap_mean([rng.expovariate(1.0) for _ in range(50)], seed=seed, resamples=300)
        hits += low <= 1.0 <= high
    assert 174 <= hits <= 198


def test_bootstrap_is_about_the_mean() -> None:
    sample = [float(number) for number in range(40)]
    low, high = bootstrap_mean(sample, seed=0)
    assert low < fmean(sample) < high
    # Standard error of the mean is 11.54 / sqrt(40) = 1.825; times 3.92 the width is about 7.15.
    assert high - low == pytest.approx(7.15, rel=0.1)


@pytest.mark.parametrize(
    ("successes", "n", "level"), [(-1, 3, 0.9), (4, 3, 0.9), (1, 3, 0.0), (1, 3, 1.0), (1, 3, nan)]
)
def test_wilson_refuses(successes: int, n: int, level: float) -> None:
    with pytest.raises(ValueError, match="must lie"):
        wilson(successes, n, level)


def test_bootstrap_refuses() -> None:
    for bad in ([], [1.0, nan], [inf]):
        with pytest.raises(ValueError, match="finite"):
            bootstrap_mean(bad, seed=0)
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_mean([1.0], seed=0, resamples=0)
    with pytest.raises(ValueError, match="level"):
        bootstrap_mean([1.0], seed=0, level=2.0)
