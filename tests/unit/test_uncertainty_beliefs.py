"""Distances between beliefs, and one form for answers of one meaning."""

from math import log2, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.uncertainty.beliefs import Belief, certain, distance, likeliest, unified

names = st.sampled_from(["a", "b", "c", None])


@st.composite
def beliefs(draw: st.DrawFn) -> Belief:
    weights = draw(st.dictionaries(names, st.floats(0, 1), min_size=1).filter(lambda raw: sum(raw.values()) > 1e-3))
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


@given(beliefs(), beliefs(), beliefs())
def test_distance_is_a_metric_within_0_and_1(one: Belief, two: Belief, three: Belief) -> None:
    assert 0 <= distance(one, two) <= 1
    assert distance(one, two) == pytest.approx(distance(two, one), abs=1e-7)
    assert distance(one, one) == 0
    assert distance(one, three) <= distance(one, two) + distance(two, three) + 1e-6


def test_distance_known_values() -> None:
    assert distance(certain("a"), certain(None)) == 1
    assert distance(certain(None), certain(None)) == 0
    # By hand: M = (3/4, 1/4); JSD = (log2(4/3) + log2((1/2)/(3/4))/2 + log2((1/2)/(1/4))/2) / 2
    by_hand = (log2(4 / 3) + log2(2 / 3) / 2 + 1 / 2) / 2
    assert distance(certain("a"), {"a": 0.5, "b": 0.5}) == pytest.approx(sqrt(by_hand))


def test_distance_bears_tiny_shares() -> None:
    assert distance({"a": 1.0, "b": 5e-324}, {"c": 1.0, "b": 0.0}) == pytest.approx(1)


def test_likeliest_takes_the_earliest_of_equals() -> None:
    assert likeliest({"b": 0.4, "a": 0.4, None: 0.2}) == "b"
    assert likeliest({"b": 0.2, None: 0.8}) is None


def test_unified_uses_the_chains_own_form_first() -> None:
    raw: list[Belief] = [{"5.0": 0.5, "5": 0.25, None: 0.25}, {"7": 0.5, "7.00": 0.5}]
    found = unified(raw, "5.00", lambda one, other: float(one) == float(other))
    assert found == [{"5.00": 0.75, None: 0.25}, {"7": 1.0}]


@given(st.lists(beliefs(), max_size=4))
def test_unified_keeps_what_is_already_one(raw: list[Belief]) -> None:
    assert unified(raw, None, lambda one, other: False) == raw
