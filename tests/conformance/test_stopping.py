"""What every stopping rule must keep: one in `elad.stopping`, or in a method's file, is tested by being there."""

import ast
from random import Random as Rng
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from room_kit import check_settings, named, parsed

from elad.courses import Course, Measured
from elad.kinds import build
from elad.protocols import Stopping

ROOM = "elad.stopping"
VARIANTS: dict[str, list[tuple[dict[str, Any], int]]] = {
    "value": [({"at_least": 0.5, "per": "money"}, 3), ({"at_least": 1e6, "per": "question", "after": 2}, 2)],
    "stable": [({"agreement": 0.5}, 3), ({"window": 1}, 1)],
    "confident": [({"below": 0.3}, 1), ({"below": 1.0, "share": 0.5, "after": 4}, 4)],
}
"""Settings of a kind, and how many rounds it lets pass with these before it stops for whatever reason."""
CASES = [(kind, options, least) for kind in named(ROOM, Stopping) for options, least in VARIANTS[kind]]
RULES: list[tuple[Stopping, int]] = [
    (build(ROOM, {"kind": kind, **options}, "stopping"), least) for kind, options, least in CASES
]
NAMES = [" ".join([kind, *map(str, options.values())]) for kind, options, _ in CASES]
every_rule = pytest.mark.parametrize(("rule", "least"), RULES, ids=NAMES)

rows = st.lists(st.tuples(st.booleans(), st.sampled_from(["A", "B", None])), min_size=3, max_size=3)
prices = st.integers(0, 4) | st.just(1)


@st.composite
def courses(draw: st.DrawFn) -> Course:
    """Up to six rounds of three questions, some of which cost nothing."""
    count = draw(st.integers(1, 7))
    bought, spent = 0, 0.0
    made: list[Measured] = []
    for number in range(count):
        price = draw(prices) if number else 0
        bought, spent = bought + price, spent + price / 4
        row = draw(rows)
        right, answers = tuple(one for one, _ in row), tuple(one for _, one in row)
        made.append(Measured(right=right, answers=answers, questions=bought, money=spent))
    return Course(rounds=made, left=draw(st.lists(st.floats(0, 1), max_size=5)))


def settled(rounds: int) -> Course:
    """Nothing moves any more, whatever is bought: any rule stops as soon as it may."""
    answers = tuple(f"{place}" for place in range(200))
    made = [
        Measured(right=(number > 0,) * 200, answers=answers, questions=100 * number, money=100.0 * number)
        for number in range(rounds + 1)
    ]
    return Course(rounds=made, left=[0.0] * 5)


@every_rule
@settings(max_examples=80)
@given(course=courses())
def test_it_is_told_why_and_the_same_twice(rule: Stopping, least: int, course: Course) -> None:
    ruling = rule(course)
    assert ruling.why
    assert rule(course) == ruling
    assert rule(Course(rounds=tuple(course.rounds), left=course.left)) == ruling
    if len(course.rounds) <= least:
        assert not ruling.stop


@every_rule
def test_it_stops_as_soon_as_it_may_and_no_sooner(rule: Stopping, least: int) -> None:
    assert [rule(settled(rounds)).stop for rounds in range(least + 3)] == [False] * least + [True] * 3


@every_rule
@settings(max_examples=60)
@given(course=courses(), order=st.randoms())
def test_the_order_of_the_questions_does_not_matter(rule: Stopping, least: int, course: Course, order: Rng) -> None:
    places = [0, 1, 2]
    order.shuffle(places)
    moved = [
        Measured(
            right=tuple(one.right[place] for place in places),
            answers=tuple(one.answers[place] for place in places),
            questions=one.questions,
            money=one.money,
        )
        for one in course.rounds
    ]
    left = list(course.left or ())
    order.shuffle(left)
    assert rule(Course(rounds=moved, left=left)).stop == rule(course).stop


@every_rule
def test_scores_are_needed_where_it_says_so_and_not_looked_at_elsewhere(rule: Stopping, least: int) -> None:
    bare = Course(rounds=settled(5).rounds)
    if rule.needs_scores:
        with pytest.raises(ValueError, match=r"the stopping rule `\w+` needs scores, and there are none"):
            rule(bare)
    else:
        assert rule(bare) == rule(settled(5))


@every_rule
def test_settings_are_written_down_and_built_again(rule: Stopping, least: int) -> None:
    check_settings(ROOM, "stopping", rule)


@pytest.mark.parametrize("kind", named(ROOM, Stopping))
def test_the_card_tells_the_evidence(kind: str) -> None:
    card = ast.get_docstring(parsed(ROOM, kind)) or ""
    assert "[S]" in card
    assert "[D]" in card
