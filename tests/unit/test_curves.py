"""Curves between their rounds: against interpolation and integration done the slow way."""

from itertools import accumulate
from statistics import fmean

import pytest
from curve_kit import plain
from hypothesis import given, settings
from hypothesis import strategies as st

from elad.evaluation.curves import Reach, accuracy_at, area, at, common_end, grid, reached

steps = st.lists(st.floats(0.5, 50), min_size=1, max_size=6)
shares = st.floats(0, 1)


def costs_of(widths: list[float]) -> list[float]:
    return [0.0, *accumulate(widths)]


def slow(costs: list[float], heights: list[float], cost: float) -> float:
    """The height at a cost, by walking the straight lines."""
    for left, right, low, high in zip(costs, costs[1:], heights, heights[1:], strict=False):
        if left <= cost <= right:
            return low + (high - low) * (cost - left) / (right - left)
    return heights[-1]


@given(steps, shares, st.data())
def test_at_is_interpolation(widths: list[float], share: float, data: st.DataObject) -> None:
    costs = costs_of(widths)
    heights = data.draw(st.lists(shares, min_size=len(costs), max_size=len(costs)))
    cost = share * costs[-1]
    weights = at(costs, cost)
    assert sum(weights) == pytest.approx(1)
    assert sum(w * h for w, h in zip(weights, heights, strict=True)) == pytest.approx(slow(costs, heights, cost))


@given(steps, st.floats(0.05, 1), st.data())
def test_area_is_the_mean_height(widths: list[float], share: float, data: st.DataObject) -> None:
    costs = costs_of(widths)
    heights = data.draw(st.lists(shares, min_size=len(costs), max_size=len(costs)))
    end = share * costs[-1]
    weights = area(costs, end)
    assert sum(weights) == pytest.approx(1)
    middles = [(i + 0.5) / 4000 * end for i in range(4000)]
    expected = fmean(slow(costs, heights, middle) for middle in middles)
    assert sum(w * h for w, h in zip(weights, heights, strict=True)) == pytest.approx(expected, abs=2e-3)


def test_where_rounds_cost_nothing_the_last_one_counts() -> None:
    assert at([0, 5, 5, 9], 5) == [0, 0, 1, 0]
    assert area([0, 5, 5, 9], 5) == [0.5, 0.5, 0, 0]
    assert area([0, 0, 10], 10) == [0, 0.5, 0.5]


@pytest.mark.parametrize("cost", [-1.0, 10.5])
def test_outside_the_curve_there_is_nothing(cost: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        at([0.0, 10.0], cost)
    with pytest.raises(ValueError, match="end"):
        area([0.0, 10.0], cost)


def test_values_are_questions_and_their_mean_the_accuracy() -> None:
    curve = plain([0, 10], [[False, False, True], [True, False, True]])
    assert curve.accuracies == pytest.approx([1 / 3, 2 / 3])
    assert curve.values(at([0, 10], 5)) == [0.5, 0, 1]
    assert accuracy_at([curve], "tokens", 5) == pytest.approx(0.5)


def test_reached_is_where_the_mean_curve_first_comes_there() -> None:
    one = plain([0, 10, 20], [[False] * 4, [True, False, False, False], [True, True, False, False]])
    other = plain([0, 30], [[False] * 4, [True, True, True, False]])
    assert reached([one], "tokens", 0.25) == 10
    assert reached([one], "tokens", 0.375) == 15
    assert reached([one], "tokens", 0.6) is Reach.NEVER
    assert common_end([one, other], "tokens") == 20
    assert reached([one, other], "tokens", 0.25) == 10  # 0.25 and 0.25 of the way to 0.75
    assert reached([one], "tokens", 0.0) == 0


def test_what_is_reached_and_lost_again_was_reached() -> None:
    curve = plain([0, 10, 20], [[False] * 2, [True, True], [False, False]])
    assert reached([curve], "tokens", 0.5) == 5


@settings(max_examples=50)
@given(steps, st.data())
def test_reached_holds_there_and_nowhere_before(widths: list[float], data: st.DataObject) -> None:
    costs = costs_of(widths)
    row = st.lists(st.booleans(), min_size=5, max_size=5)
    curve = plain(costs, data.draw(st.lists(row, min_size=len(costs), max_size=len(costs))))
    accuracy = data.draw(st.floats(0.01, 0.99))
    found = reached([curve], "tokens", accuracy)
    end = costs[-1] if isinstance(found, Reach) else found
    before = [accuracy_at([curve], "tokens", end * i / 50) for i in range(50) if end]
    assert all(value < accuracy + 1e-6 for value in before)
    if not isinstance(found, Reach):
        assert (
            accuracy_at([curve], "tokens", min(found + 1e-9, costs[-1])) == pytest.approx(accuracy, abs=1e-6)
            or not found
        )


@given(st.floats(0, 1e12), st.integers(1, 50))
def test_a_grid_stays_within_the_curve_and_ends_with_it(end: float, count: int) -> None:
    amounts = grid(end, count)
    assert amounts == sorted(amounts)
    assert (amounts[0], amounts[-1], len(amounts)) == (0.0, end, count + 1 if end else 1)
