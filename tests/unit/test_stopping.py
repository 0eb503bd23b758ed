"""Stopping rules: what they go by, and how often the bound of `value` errs."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import exp, log1p, sqrt
from random import Random
from statistics import NormalDist

import pytest
from curve_kit import most_misses
from hypothesis import given
from hypothesis import strategies as st

from elad.courses import Course, Measured
from elad.errors import ConfigError
from elad.kinds import build
from elad.stopping.confident import Confident
from elad.stopping.stable import Stable, kappa
from elad.stopping.value import Value, next_gain

ANSWERS = st.lists(st.sampled_from(["A", "B", "C", None]), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kind": "vlaue"}, r"stopping\.kind: unknown kind 'vlaue'; did you mean 'value'\?"),
        ({"kind": "value", "per": "money"}, r"stopping\.at_least: "),
        ({"kind": "value", "at_least": 1}, r"stopping\.per: "),
        ({"kind": "value", "at_least": 1, "per": "token"}, r"stopping\.per: .*'money' or 'question', got 'token'"),
        ({"kind": "value", "at_least": -1, "per": "money"}, r"stopping\.at_least: must be at least 0, not -1"),
        ({"kind": "value", "at_least": float("nan"), "per": "money"}, r"stopping\.at_least: must be at least 0"),
        ({"kind": "value", "at_least": 1, "per": "money", "after": 1}, r"stopping\.after: must be at least 2, not 1"),
        ({"kind": "stable", "agreement": 0}, r"stopping\.agreement: must be above 0 and at most 1, not 0"),
        ({"kind": "stable", "agreement": 1.1}, r"stopping\.agreement: must be above 0 and at most 1, not 1\.1"),
        ({"kind": "stable", "window": 0}, r"stopping\.window: must be at least 1, not 0"),
        ({"kind": "stable", "windw": 2}, r"stopping\.windw: unknown key for stable; did you mean 'window'\?"),
        ({"kind": "confident"}, r"stopping\.below: "),
        ({"kind": "confident", "below": 0.0}, r"stopping\.below: must be above 0 and at most 1, not 0"),
        ({"kind": "confident", "below": 0.1, "share": 2}, r"stopping\.share: must be above 0 and at most 1, not 2"),
        ({"kind": "confident", "below": 0.1, "after": 0}, r"stopping\.after: must be at least 1, not 0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build("elad.stopping", settings, "stopping")


def course(right: Sequence[Sequence[bool]], spent: Sequence[float]) -> Course:
    made = [
        Measured(right=tuple(row), answers=("1",) * len(row), questions=round(amount), money=amount / 10)
        for row, amount in zip(right, spent, strict=True)
    ]
    return Course(rounds=made)


TABLES = st.integers(2, 8).flatmap(
    lambda asked: st.lists(st.lists(st.booleans(), min_size=asked, max_size=asked), min_size=3, max_size=7)
)
PRICES = st.lists(st.integers(1, 50), min_size=6, max_size=6)


@given(TABLES, PRICES, st.sampled_from([2, 1024]))
def test_the_bound_lies_above_what_is_predicted_whatever_money_is_counted_in(
    right: list[list[bool]], prices: list[int], unit: int
) -> None:
    spent = [float(amount) for amount in accumulate([0, *prices])][: len(right)]
    predicted, high = next_gain(spent, right)
    assert predicted < high
    again = next_gain([amount * unit for amount in spent], right)
    assert (again[0] * unit, again[1] * unit) == pytest.approx((predicted, high), rel=1e-6, abs=1e-9)


@given(TABLES, PRICES, st.floats(0, 50), st.floats(0, 50))
def test_who_asks_for_more_stops_no_later(right: list[list[bool]], prices: list[int], one: float, other: float) -> None:
    seen = course(right, [*accumulate([0, *prices])][: len(right)])
    little, much = (Value(at_least=worth, per="question", after=2)(seen).stop for worth in sorted((one, other)))
    assert much or not little


def test_what_costs_nothing_is_worth_it() -> None:
    right = [[False] * 50, *[[True] * 50] * 5]
    rule = Value(at_least=1e9, per="money", after=2)
    assert rule(course(right, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])).stop
    assert not rule(course(right, [0.0] * 6)).stop
    assert not rule(course(right, [0.0, 1.0, 1.0, 1.0, 1.0, 1.0])).stop
    with pytest.raises(ValueError, match="three different"):
        next_gain([0.0, 1.0, 1.0], right[:3])


@pytest.mark.parametrize("seed", range(3))
def test_a_curve_that_rises_goes_on_and_one_that_is_level_stops(seed: int) -> None:
    rng = Random(seed)
    rule = Value(at_least=0.05, per="question")  # a round of 30 must bring one and a half points
    rising = simulated(rng, TRUTHS["straight"], rounds=6, asked=300)
    assert stop_round(rule, rising) is None
    assert stop_round(rule, [rising[0], *[rising[5]] * 5]) in (3, 4)
    late = stop_round(rule, simulated(rng, TRUTHS["levels off"], rounds=12, asked=300))
    assert late is not None
    assert late > 3


def stop_round(rule: Value, right: Sequence[Sequence[bool]]) -> int | None:
    """After how many rounds the rule stops, where each buys STEP questions."""
    stops = (n for n in range(len(right)) if rule(course(right[: n + 1], [STEP * k for k in range(n + 1)])).stop)
    return next(stops, None)


STEP = 30
TRUTHS: dict[str, Callable[[float], float]] = {
    "levels off": lambda spent: 0.15 + 0.45 * (1 - exp(-spent / 60)),
    "hardly levels off": lambda spent: 0.2 + 0.1 * log1p(spent / 10),
    "straight": lambda spent: 0.2 + 0.04 * spent / 30,
    "level": lambda spent: 0.4,
    "falls": lambda spent: 0.5 - 0.02 * spent / 30,
    "slow": lambda spent: 0.15 + 0.6 * (1 - exp(-spent / 150)),
}


def simulated(
    rng: Random, truth: Callable[[float], float], *, rounds: int, asked: int, luck: float = 0.0
) -> list[tuple[bool, ...]]:
    """The answers of one run to the same questions; `luck` is the share of the variance that is a whole student's."""
    easy, right = [rng.gauss(0, 1) for _ in range(asked)], list[tuple[bool, ...]]()
    for number in range(rounds + 1):
        cut, lucky = NormalDist().inv_cdf(truth(number * STEP)), sqrt(luck) * rng.gauss(0, 1)
        right.append(tuple(sqrt(0.5) * one + lucky + sqrt(0.5 - luck) * rng.gauss(0, 1) < cut for one in easy))
    return right


@pytest.mark.parametrize("rounds", [3, 4])
@pytest.mark.parametrize("luck", [0.0, 0.01])
@pytest.mark.parametrize("name", TRUTHS)
def test_the_bound_holds(name: str, luck: float, rounds: int) -> None:
    """It is missed one time in twenty at most. A share of 0.01 is luck in training of four points, give or take."""
    rng, truth, times, missed = Random(f"{name} {luck} {rounds}"), TRUTHS[name], 200, 0
    gain = (truth((rounds + 1) * STEP) - truth(rounds * STEP)) / STEP
    for _ in range(times):
        right = simulated(rng, truth, rounds=rounds, asked=150, luck=luck)
        missed += gain > next_gain([float(STEP * number) for number in range(rounds + 1)], right)[1]
    assert missed <= most_misses(times, 0.05)


def test_the_bound_is_not_beyond_all_that_could_be() -> None:
    """What is level stops in most runs soon after it may, where a round must bring two points."""
    rule, rng = Value(at_least=2 / STEP, per="question"), Random("level")
    stops = [stop_round(rule, simulated(rng, TRUTHS["level"], rounds=6, asked=300)) for _ in range(20)]
    assert sum(stop is not None for stop in stops) >= 18


@given(ANSWERS, st.data())
def test_kappa_is_an_agreement(one: list[str | None], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.sampled_from(["A", "B", "C", None]), min_size=len(one), max_size=len(one)))
    found = kappa(one, other)
    assert -1 <= found <= 1
    assert found == kappa(other, one)
    renamed = {"A": "x", "B": "y", "C": "z", None: None}
    assert found == kappa([renamed[answer] for answer in one], [renamed[answer] for answer in other])
    several = None not in one and len(set(one)) > 1
    assert kappa(one, one) == pytest.approx(1.0) if several else kappa(one, one) < 1


def test_a_student_that_never_concludes_is_not_stable() -> None:
    silent = [Measured(right=(False,) * 9, answers=(None,) * 9, questions=n, money=0.0) for n in range(9)]
    assert not Stable(agreement=0.01, window=1)(Course(rounds=silent)).stop


def test_stability_is_that_of_the_last_pairs() -> None:
    rows = ["ABAB", "BABA", "ABAB", "ABAB", "ABAB"]
    made = [Measured(right=(True,) * 4, answers=tuple(row), questions=n, money=0.0) for n, row in enumerate(rows)]
    assert [Stable(window=2)(Course(rounds=made[: n + 1])).stop for n in range(5)] == [False] * 4 + [True]
    assert Stable(window=2, agreement=0.5)(Course(rounds=made[:4])).stop is False
    assert Stable(window=1, agreement=0.5)(Course(rounds=made[:4])).stop is True


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_confidence_counts_who_is_below(left: list[float], below: float, share: float) -> None:
    rounds = [Measured(right=(True,), answers=("1",), questions=n, money=0.0) for n in range(3)]
    stop = Confident(below=below, share=share)(Course(rounds=rounds, left=left)).stop
    assert stop == (sum(score < below for score in left) / len(left) >= share)
    assert Confident(below=below)(Course(rounds=rounds, left=left)).stop == (max(left) < below)
    assert not Confident(below=below)(Course(rounds=rounds, left=[])).stop
