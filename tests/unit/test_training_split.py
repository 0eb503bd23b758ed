"""What early stopping stops by: bought rows, whole questions of them."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from elad.records import Example, Message
from elad.settings import Training
from elad.training.batches import Item
from elad.training.rows import Row
from elad.training.trainer import split

SHARES = st.floats(0, 1, exclude_max=True)
SEEDS = st.integers(0, 99)


def item(place: int, question: int, *, bought: bool) -> Item:
    """Row number `place`, of some question."""
    example = Example(problem_id=str(question), messages=(Message(role="user", content="?"),), target="", source="")
    return Item(example, (Row(ids=(place,), target_start=0, bought=bought),))


def careful(share: float) -> Training:
    return Training(patience=1, validation_share=share)


def questions(items: Sequence[Item]) -> set[str]:
    return {one.example.problem_id for one in items if one.rows[0].bought}


@given(rows=st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=20), share=SHARES, seed=SEEDS)
def test_rows_of_a_question_stay_together_and_one_question_is_always_learnt_from(
    rows: list[tuple[int, bool]], share: float, seed: int
) -> None:
    items = [item(place, question, bought=bought) for place, (question, bought) in enumerate(rows)]
    learn, check = split(items, careful(share), seed)
    assert sorted(learn + check, key=lambda one: one.rows[0].ids) == items
    assert [one for one in items if one in learn] == learn
    assert [one for one in items if one in check] == check
    assert all(one.rows[0].bought for one in check)
    assert questions(learn).isdisjoint(questions(check))
    assert bool(check) == (len(questions(items)) > 1)
    assert bool(questions(learn)) == bool(questions(items))


@given(warmups=st.integers(0, 9), count=st.integers(0, 9), share=SHARES, seed=SEEDS)
def test_of_single_rows_those_are_kept_aside_that_always_were(
    warmups: int, count: int, share: float, seed: int
) -> None:
    """Rows were drawn before questions were: a run that was begun then goes on with the same ones."""
    items = [item(i, i, bought=i >= warmups) for i in range(warmups + count)]
    order = list(range(warmups, warmups + count))
    random.Random(seed).shuffle(order)
    aside = order[: min(max(1, round(count * share)), count - 1)] if count > 1 else []
    _, check = split(items, careful(share), seed)
    assert [one.rows[0].ids[0] for one in check] == sorted(aside)


def test_without_patience_nothing_is_kept_aside() -> None:
    items = [item(i, i, bought=True) for i in range(9)]
    assert split(items, Training(), 0) == (items, [])
