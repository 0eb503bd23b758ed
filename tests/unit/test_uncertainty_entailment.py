"""Mutual entailment by any scorer."""

from collections.abc import Sequence
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.uncertainty.entailment import Entailment, mutual


class Table:
    """A scorer that answers from a table and remembers what it was asked."""

    def __init__(self, table: dict[tuple[str, str], float], default: float = 0.5) -> None:
        self.table = table
        self.default = default
        self.asked: list[list[tuple[str, str]]] = []

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked.append(list(pairs))
        return [self.table.get(pair, self.default) for pair in pairs]


def test_the_weaker_direction_counts() -> None:
    scorer = Table({("cat", "animal"): 0.9, ("animal", "cat"): 0.2})
    assert isinstance(scorer, Entailment)
    assert mutual([("cat", "animal"), ("animal", "cat")], scorer) == [0.2, 0.2]


def test_clear_cases_are_not_asked() -> None:
    scorer = Table({})
    assert mutual([("same", " same\n"), ("", "x"), ("x", ""), ("", "")], scorer) == [1.0, 0.0, 0.0, 1.0]
    assert scorer.asked == []


def test_asked_once_and_no_pair_twice() -> None:
    scorer = Table({})
    assert mutual([("a", "b"), ("a", "b"), ("c", "d")], scorer) == [0.5, 0.5, 0.5]
    assert scorer.asked == [[("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")]]


words = st.text("ab ", max_size=3)


@given(st.lists(st.tuples(words, words)), st.floats(0, 1))
def test_range_and_length(pairs: list[tuple[str, str]], default: float) -> None:
    values = mutual(pairs, Table({}, default))
    assert len(values) == len(pairs)
    assert set(values) <= {0.0, default, 1.0}


@pytest.mark.parametrize("bad", [nan, -0.1, 1.5])
def test_refuses_what_is_no_probability(bad: float) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        mutual([("a", "b")], Table({}, bad))


def test_refuses_another_number_of_values() -> None:
    with pytest.raises(ValueError, match="2 probabilities"):
        mutual([("a", "b")], lambda pairs: [0.5])
