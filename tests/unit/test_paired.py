"""Paired differences: against slow references and numbers of scipy 1.17.1, and coverage by simulation."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import sqrt
from random import Random
from statistics import fmean, variance

import pytest
from curve_kit import least_misses, most_misses
from hypothesis import given, settings
from hypothesis import strategies as st

from elad.evaluation.paired import Estimate, mean_difference, sign_flips, student_t

table = st.tuples(st.integers(2, 4), st.integers(2, 6)).flatmap(
    lambda size: st.lists(
        st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=size[1], max_size=size[1]),
        min_size=size[0],
        max_size=size[0],
    )
)


@pytest.mark.parametrize(
    ("share", "freedom", "value"),  # scipy.stats.t.ppf
    [
        (0.975, 1, 12.706204736174694),
        (0.975, 2.5, 3.5746548420036817),
        (0.95, 4, 2.1318467863266495),
        (0.975, 29.3, 2.044320421500141),
        (0.6, 1e6, 0.25334717053784184),
        (0.999, 3, 10.214531852407383),
    ],
)
def test_student_t_of_a_library(share: float, freedom: float, value: float) -> None:
    assert student_t(share, freedom) == pytest.approx(value, rel=1e-8)
    assert student_t(1 - share, freedom) == pytest.approx(-value, rel=1e-8)


def slow_interval(rows: list[list[float]]) -> tuple[float, float]:
    """Mean and half width as they are defined: seeds' means, and what questions share beside what is left."""
    s, q = len(rows), len(rows[0])
    cells = {(i, j): rows[i][j] for i in range(s) for j in range(q)}
    mean = fmean(cells.values())
    seed = [fmean(cells[i, j] for j in range(q)) for i in range(s)]
    question = [fmean(cells[i, j] for i in range(s)) for j in range(q)]
    residual = sum((cells[i, j] - seed[i] - question[j] + mean) ** 2 for i in range(s) for j in range(q))
    shared = variance(question) - residual / (s - 1) / (q - 1) / s
    left = residual / (s - 1) / (q - 1) / (s * q)
    by_seeds = student_t(0.975, s - 1) * sqrt(variance(seed) / s + max(0.0, shared) / q)
    return mean, max(by_seeds, 1.959963985 * sqrt(left + max(0.0, shared) / q))


@given(table)
def test_mean_difference_is_the_slow_one(rows: list[list[float]]) -> None:
    found = mean_difference(rows)
    mean, half = slow_interval(rows)
    assert (found.value, found.low, found.high) == pytest.approx((mean, mean - half, mean + half), abs=1e-7)


def test_without_shared_questions_it_is_the_interval_of_a_library() -> None:
    # scipy.stats.ttest_1samp([0.25, 0.5, -0.25, 0.0], 0).confidence_interval(0.95)
    rows = [[0.35, 0.15], [0.4, 0.6], [-0.15, -0.35], [-0.1, 0.1]]
    found = mean_difference(rows)
    assert found.value == pytest.approx(0.125)
    assert (found.low, found.high) == pytest.approx((-0.388565, 0.638565), abs=5e-6)


@given(table)
def test_the_other_way_round_is_the_mirror(rows: list[list[float]]) -> None:
    found, other = mean_difference(rows), mean_difference([[-value for value in row] for row in rows])
    assert (found.low, found.high) == pytest.approx((-other.high, -other.low), abs=1e-9)


def test_seeds_that_agree_by_luck_leave_the_doubt_of_the_questions() -> None:
    found = mean_difference([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])
    assert found.value == 0.5
    assert found.low < 0.1
    assert found.high > 0.9


def test_no_difference_is_a_point_and_little_is_refused() -> None:
    found = mean_difference([[0.0] * 5] * 3)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    for rows in ([[1.0, 0.0]], [[1.0], [0.0]]):
        with pytest.raises(ValueError, match="at least two"):
            mean_difference(rows)


def simulated(times: int, effect: float, *, seeds: int, luck: float, shared: float) -> Iterator[Estimate]:
    """Of 30 questions; `luck` is the deviation of a seed, `shared` that of a question, what is left has 1."""
    rng = Random(f"{seeds} {luck} {shared}")
    for _ in range(times):
        own = [effect + rng.gauss(0, shared) for _ in range(30)]
        rows: list[list[float]] = []
        for _ in range(seeds):
            shift = rng.gauss(0, luck)
            rows.append([one + shift + rng.gauss(0, 1) for one in own])
        yield mean_difference(rows)


@pytest.mark.parametrize(
    ("seeds", "luck", "shared"),
    [(2, 0.0, 0.0), (2, 0.3, 0.0), (3, 0.3, 0.0), (5, 0.0, 0.0), (5, 0.1, 0.5), (3, 0.0, 1.0)],
)
def test_mean_difference_covers(seeds: int, luck: float, shared: float) -> None:
    """At 95 % or above: it is never narrower than the questions make it, and so too wide where seeds differ little."""
    found = list(simulated(600, 0.2, seeds=seeds, luck=luck, shared=shared))
    below, above = sum(one.high < 0.2 for one in found), sum(one.low > 0.2 for one in found)
    assert max(below, above) <= most_misses(len(found))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_where_seeds_decide_it_misses_as_often_as_it_says(seeds: int) -> None:
    found = list(simulated(600, 0.2, seeds=seeds, luck=2.0, shared=0.0))
    missed = sum(not one.low <= 0.2 <= one.high for one in found)
    assert least_misses(len(found), 0.05) <= missed <= most_misses(len(found), 0.05)


@pytest.mark.parametrize(
    ("effect", "seeds", "luck", "shared"),
    [(4.0, 2, 0.0, 0.0), (2.0, 3, 0.3, 0.0), (1.0, 5, 0.0, 0.0), (1.0, 5, 0.1, 0.5), (2.0, 3, 0.0, 1.0)],
)
def test_an_effect_that_is_plain_is_found(effect: float, seeds: int, luck: float, shared: float) -> None:
    found = list(simulated(60, effect, seeds=seeds, luck=luck, shared=shared))
    assert sum(one.low > 0 for one in found) >= 54


def slow_flips(values: list[float]) -> float:
    exact = [Fraction(value) for value in values]
    far = abs(sum(exact))
    ways = [abs(sum(s * v for s, v in zip(signs, exact, strict=True))) for signs in product((1, -1), repeat=len(exact))]
    return sum(way >= far for way in ways) / len(ways)


@settings(max_examples=40)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=8))
def test_exact_flips_are_the_slow_ones(values: list[float]) -> None:
    found = sign_flips(values, seed=0)
    assert found.exact
    assert found.p == pytest.approx(slow_flips(values))
    assert found.units == sum(value != 0 for value in values)


def test_flips_of_a_library() -> None:
    # scipy.stats.permutation_test((d, zeros), mean difference, permutation_type="samples", n_resamples=inf).pvalue
    assert sign_flips([0.5, -0.25, 1.0, 0.75, 0.0, -0.5, 0.25, 1.0], seed=0).p == 0.171875


def test_sampled_flips_are_near_the_exact_ones() -> None:
    rng = Random(5)
    values = [rng.choice([-1.0, 1.0, 1.0]) for _ in range(13)]
    found = sign_flips(values, seed=1)
    assert not found.exact
    assert found.p == pytest.approx(slow_flips(values), abs=0.02)
    assert found == sign_flips(values, seed=1)


def test_flips_of_nothing() -> None:
    assert sign_flips([0.0, 0.0], seed=0).p == 1
    assert sign_flips([], seed=0).p == 1


def test_flips_keep_their_level() -> None:
    rng = Random(6)
    low = sum(sign_flips([rng.gauss(0, 1) for _ in range(9)], seed=0).p <= 0.05 for _ in range(400))
    assert 7 <= low <= 34
