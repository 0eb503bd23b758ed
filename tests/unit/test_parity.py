"""Our statistics beside those of scipy and statsmodels, which are needed for this and nothing else."""

from math import inf, sqrt
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elad.evaluation.intervals import bootstrap_mean, quantile, wilson
from elad.evaluation.paired import mean_difference, sign_flips, student_t

scipy: Any = pytest.importorskip("scipy.stats")
proportion: Any = pytest.importorskip("statsmodels.stats.proportion")

counts = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
few = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=2, max_size=9)


@given(st.floats(0.001, 0.999), st.floats(0.5, 1e5))
def test_student_t(share: float, freedom: float) -> None:
    assert student_t(share, freedom) == pytest.approx(scipy.t.ppf(share, freedom), rel=1e-7, abs=1e-5)


@given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson(pair: tuple[int, int], level: float) -> None:
    successes, n = pair
    theirs = proportion.proportion_confint(successes, n, alpha=1 - level, method="wilson")
    assert wilson(successes, n, level) == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(few)
def test_sign_flips(values: list[float]) -> None:
    theirs = scipy.permutation_test(
        (values, [0.0] * len(values)),
        lambda one, other, axis: (one - other).mean(axis=axis),
        permutation_type="samples",
        n_resamples=inf,
        vectorized=True,
    )
    assert sign_flips(values, seed=0).p == pytest.approx(theirs.pvalue)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.floats(0, 1))
def test_quantile(values: list[float], share: float) -> None:
    numpy: Any = pytest.importorskip("numpy")
    assert quantile(sorted(values), share) == pytest.approx(numpy.quantile(values, share), abs=1e-9)


@given(st.lists(st.integers(-40, 40), min_size=2, max_size=8).filter(lambda found: len({*found}) > 1))
def test_an_interval_of_seeds_alone(means: list[int]) -> None:
    """Where all questions of a seed differ alike, it is that of a t test over the seeds."""
    ours = mean_difference([[mean] * 5 for mean in means])
    theirs = scipy.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_an_interval_of_seeds_and_questions() -> None:
    """Its parts are the mean squares of an analysis of variance with two factors."""
    frame: Any = pytest.importorskip("pandas").DataFrame
    ols: Any = pytest.importorskip("statsmodels.formula.api").ols
    anova: Any = pytest.importorskip("statsmodels.stats.anova").anova_lm
    rng = Random(4)
    for s, q in ((2, 6), (3, 10), (5, 12)):
        easy, lucky = [rng.gauss(0, 0.5) for _ in range(q)], [rng.gauss(0, 0.3) for _ in range(s)]
        rows = [[luck + one + rng.gauss(0, 1) for one in easy] for luck in lucky]
        cells = [(i, j, rows[i][j]) for i in range(s) for j in range(q)]
        squares = anova(ols("d ~ C(s) + C(q)", frame(cells, columns=["s", "q", "d"])).fit())["mean_sq"]
        left = squares["Residual"]
        shared = max(0.0, squares["C(q)"] - left) / (s * q)
        by_seeds = scipy.t.ppf(0.975, s - 1) * sqrt(squares["C(s)"] / (s * q) + shared)
        by_questions = scipy.norm.ppf(0.975) * sqrt(left / (s * q) + shared)
        found = mean_difference(rows)
        assert found.high - found.value == pytest.approx(max(by_seeds, by_questions))
        assert found.value - found.low == pytest.approx(found.high - found.value)


def test_a_bootstrap_of_the_mean() -> None:
    """Both draw at random, so their ends differ by what 4,000 resamples leave open."""
    rng = Random(5)
    values = [rng.expovariate(1.0) for _ in range(40)]
    theirs = scipy.bootstrap((values,), lambda one, axis: one.mean(axis=axis), method="percentile", rng=1)
    error = theirs.standard_error
    found = bootstrap_mean(values, seed=1, resamples=4000)
    assert found == pytest.approx(tuple(theirs.confidence_interval), abs=0.15 * error)
