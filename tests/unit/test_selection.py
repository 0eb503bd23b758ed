"""What each selector adds to what every one must keep (`tests/conformance`)."""

from collections import Counter
from itertools import combinations, pairwise
from math import dist, hypot
from random import Random as Rng
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elad.errors import ConfigError, RefusedError
from elad.experiment import Experiment
from elad.outcomes import RevisionOutcome
from elad.records import Candidate, Chain, Charge, Past, Problem, Sampling, StepScores
from elad.selection.badge import Badge
from elad.selection.core_set import CoreSet
from elad.selection.cost_aware import CostAware
from elad.selection.facility_location import FacilityLocation, greedy, likeness
from elad.selection.geometry import directions, spread
from elad.selection.k_means import KMeans
from elad.selection.oracle import Oracle
from elad.selection.random import Random
from elad.selection.stratified import Stratified
from elad.selection.top import Top
from elad.tasks.chains import make_chain
from elad.tasks.numeric import Numeric

POINTS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=9)


def chain(problem: Problem, text: str) -> Chain:
    return make_chain(
        text, problem, Numeric(), finished=True, sampling=Sampling(), seed=0, tokens=9, most_steps=12
    )  # fmt: skip


def candidate(
    id: str,
    aggregate: float = 0.5,
    confidence: float = 0.5,
    *,
    at: tuple[float, ...] | None = None,
    text: str = "The answer is 5.",
    **fields: Any,
) -> Candidate:
    known: dict[str, Any] = {"question": "How many?", "answer": "5"}
    problem = Problem(id=id, **known | fields)
    scores = StepScores(parts={}, steps=(), aggregate=aggregate, confidence=confidence)
    return Candidate(problem=problem, chain=chain(problem, text), scores=scores, embedding=at)


def groups(*sizes: int) -> list[Candidate]:
    """Questions in tight groups that lie far apart; the first letter of an id is its group."""
    corners = ((9.0, 0.0, 0.0), (0.0, 9.0, 0.0), (0.0, 0.0, 9.0))
    return [
        candidate(f"{'abc'[group]}{i}", at=tuple(x + 0.01 * (i + place) for place, x in enumerate(corners[group])))
        for group, size in enumerate(sizes)
        for i in range(size)
    ]


@given(
    pool=st.dictionaries(st.text(min_size=1, max_size=3), st.tuples(st.floats(0, 1), st.sampled_from([0.1, 0.9]))),
    seed=st.integers(0, 2**32),
)
def test_top_ranks_by_score_then_by_doubt(pool: dict[str, tuple[float, float]], seed: int) -> None:
    picks = Top()([candidate(id, *row) for id, row in pool.items()], 99, Rng(seed))
    ranks = [(-pool[id][0], pool[id][1]) for id in picks]
    assert ranks == sorted(ranks)
    assert len(ranks) == len(pool)


def test_random_draws_each_set_as_often() -> None:
    pool = [candidate(id) for id in "abcd"]
    drawn = {frozenset(Random()(pool, 2, Rng(seed))) for seed in range(60)}
    assert drawn == {frozenset(pair) for pair in combinations("abcd", 2)}


@pytest.mark.parametrize("selector", [CoreSet(), KMeans(), FacilityLocation(), Badge()])
def test_three_picks_of_three_groups_are_one_of_each(selector: Any) -> None:
    for seed in range(20):
        assert sorted(id[0] for id in selector(groups(9, 5, 2), 3, Rng(seed))) == ["a", "b", "c"]


@settings(max_examples=60)
@given(points=POINTS, count=st.integers(1, 9), seed=st.integers(0, 99))
def test_core_set_takes_what_is_farthest_from_all_before(points: list[tuple[int, int]], count: int, seed: int) -> None:
    units = directions(points)
    picks = CoreSet()([candidate(str(i), at=point) for i, point in enumerate(points)], count, Rng(seed))
    places = [int(id) for id in picks]
    for nth in range(1, len(places)):
        apart = [min(dist(units[place], units[other]) for other in places[:nth]) for place in range(len(points))]
        assert apart[places[nth]] == pytest.approx(max(apart), abs=1e-5)


def bought(charge: Charge | None = None, *, at: tuple[float, ...] | None = None, text: str = "") -> Past:
    return Past(
        round=1, problem=Problem(id="bought", question=""), chain=text, aggregate=None, parts={}, embedding=at,
        by=None, outcome=RevisionOutcome.REPAIRED, changed=True, charge=charge or Charge(),
    )  # fmt: skip


def test_core_set_goes_where_nothing_was_bought() -> None:
    for seed in range(20):
        known = [bought(at=(9.0, 0.0, 0.0)), bought(at=(9.0, 0.1, 0.0))]
        picks = CoreSet().having(known)(groups(9, 5, 2), 2, Rng(seed))
        assert sorted(id[0] for id in picks) == ["b", "c"]


@settings(max_examples=60)
@given(points=POINTS, known=POINTS, count=st.integers(1, 9), seed=st.integers(0, 99))
def test_core_set_goes_on_from_what_was_bought(
    points: list[tuple[int, int]], known: list[tuple[int, int]], count: int, seed: int
) -> None:
    units = directions([*points, *known])
    pool = [candidate(str(i), at=point) for i, point in enumerate(points)]
    places = [int(id) for id in CoreSet().having([bought(at=point) for point in known])(pool, count, Rng(seed))]
    for nth, place in enumerate(places):
        held = [*range(len(points), len(units)), *places[:nth]]
        apart = [min(dist(unit, units[other]) for other in held) for unit in units[: len(points)]]
        assert apart[place] == pytest.approx(max(apart), abs=1e-5)


def test_k_means_begins_with_the_largest_cluster_and_takes_its_middle() -> None:
    for seed in range(10):
        picks = KMeans()(groups(9, 5, 2), 3, Rng(seed))
        assert [id[0] for id in picks] == ["a", "b", "c"]
        assert picks[0] in {"a3", "a4", "a5"}


@settings(max_examples=40)
@given(points=POINTS, data=st.data())
def test_facility_location_is_greedy(points: list[tuple[int, int]], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=len(points), max_size=len(points)))
    units = directions(points)

    def worth(places: list[int]) -> float:
        best = map(max, *(likeness(units[place], units) for place in places), [0.0] * len(units))
        return sum(weight * one for weight, one in zip(weights, best, strict=True))

    picks = greedy(units, weights, len(points))
    assert sorted(picks) == list(range(len(points)))
    for nth, place in enumerate(picks):
        others = [other for other in range(len(points)) if other not in picks[:nth]]
        assert worth([*picks[:nth], place]) == pytest.approx(max(worth([*picks[:nth], other]) for other in others))


def test_facility_location_stands_for_the_uncertain() -> None:
    sure = [candidate(f"s{i}", 0.0, at=(9.0, 0.01 * i)) for i in range(9)]
    unsure = [candidate(f"u{i}", 0.9, at=(-9.0, 0.01 * i)) for i in range(2)]
    assert FacilityLocation()([*sure, *unsure], 1, Rng(0))[0][0] == "u"
    assert {id[0] for id in FacilityLocation(most=2)([*sure, *unsure], 2, Rng(0))} == {"u"}
    assert len(FacilityLocation(most=2)([*sure, *unsure], 7, Rng(0))) == 7


def test_badge_begins_with_the_most_uncertain_and_seldom_takes_the_sure() -> None:
    pool = [candidate(f"s{i}", 0.01, at=(i - 4.0, 5.0)) for i in range(9)]
    pool += [candidate("u0", 0.9, at=(-9.0, 1.0)), candidate("u1", 0.8, at=(9.0, 1.0))]
    draws = [Badge()(pool, 3, Rng(seed)) for seed in range(200)]
    assert {picks[0] for picks in draws} == {"u0"}
    # One of the sure ones stands for them all: once it is drawn, the others lie on it.
    assert sum("u1" in picks for picks in draws) > 190


@pytest.mark.parametrize("selector", [FacilityLocation(), Badge(), CostAware()])
def test_what_weighs_by_the_score_takes_none_below_0(selector: Any) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        selector([candidate("a", -0.1, at=(1.0,))], 1, Rng(0))


@given(points=POINTS)
def test_directions_are_unit_vectors_from_the_middle(points: list[tuple[int, int]]) -> None:
    middle = [sum(column) / len(points) for column in zip(*points, strict=True)]
    for point, unit in zip(points, directions(points), strict=True):
        away = dist(point, middle)
        assert hypot(*unit) == pytest.approx(float(away > 1e-5), abs=1e-6)
        if away > 1e-5:
            assert [x * away + mean for x, mean in zip(unit, middle, strict=True)] == pytest.approx(point, abs=1e-5)


def test_rounding_has_no_direction() -> None:
    assert [hypot(*unit) for unit in directions([(1e6, 0.1)] * 3)] == [0.0, 0.0, 0.0]
    assert directions([]) == []


@given(points=POINTS, count=st.integers(0, 9), seed=st.integers(0, 99))
def test_spread_draws_no_place_twice_nor_what_lies_on_another_before_it_must(
    points: list[tuple[int, int]], count: int, seed: int
) -> None:
    count = min(count, len(points))
    places = spread(points, count, Rng(seed), 0)
    assert len(set(places)) == len(places) == count
    apart = len({points[place] for place in places})
    assert apart == min(count, len(set(points)))


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), allowance=st.integers(0, 30), seed=st.integers(0, 99))
def test_each_stratum_gets_its_share_of_any_first_picks(sizes: list[int], allowance: int, seed: int) -> None:
    pool = [
        candidate(f"{topic}.{i}", i / 10, metadata={"topic": topic})
        for topic, size in enumerate(sizes)
        for i in range(size)
    ]
    picks = Stratified(column="topic")(pool, allowance, Rng(seed))
    for nth in range(len(picks) + 1):
        for topic, size in enumerate(sizes):
            own = [id for id in picks[:nth] if id.startswith(f"{topic}.")]
            assert abs(len(own) - nth * size / len(pool)) < 2
            assert own == [f"{topic}.{i}" for i in reversed(range(size - len(own), size))]


def test_strata_by_length_are_of_one_size() -> None:
    pool = [candidate(f"{i:02}", question="?" * (i + 1)) for i in range(12)]
    picks = Stratified(strata=3, within="lot")(pool, 3, Rng(0))
    assert sorted(int(id) // 4 for id in picks) == [0, 1, 2]


def test_what_is_left_over_goes_to_no_length_more_often_than_to_another() -> None:
    pool = [candidate(f"{i:02}", i / 12, question="?" * (i + 1)) for i in range(12)]
    last = Counter(int(Stratified()(pool, 5, Rng(seed))[4]) // 3 for seed in range(400))
    assert sorted(last) == [0, 1, 2, 3]
    assert all(abs(count - 100) < 40 for count in last.values())  # 4.6 standard deviations


def test_a_column_that_no_question_has_is_named_with_the_nearest() -> None:
    pool = [candidate("a", metadata={"topic": 1}), candidate("b", metadata={"level": 2})]
    with pytest.raises(ConfigError, match=r"^selector\.column: no question has 'topics'; did you mean 'topic'\?$"):
        Stratified(column="topics")(pool, 1, Rng(0))
    assert sorted(Stratified(column="topic")(pool, 2, Rng(0))) == ["a", "b"]


def test_the_price_is_what_the_teacher_reads_and_writes() -> None:
    # By hand: 1000 + 9 + 5 x 16 = 1089 against 1000 + 909 + 5 x 16 = 1989 characters.
    short, long = candidate("short", 0.5), candidate("long", 0.9, question="How many?" + "." * 900)
    assert CostAware()([short, long], 2, Rng(0)) == ["short", "long"]
    dearer = candidate("dearer", 0.9, question="How many?" + "." * 800)
    assert CostAware()([short, dearer], 2, Rng(0)) == ["dearer", "short"]
    rambling = candidate("rambling", 0.5, text="So it is. " * 30 + "The answer is 5.")
    assert CostAware()([short, rambling], 2, Rng(0)) == ["short", "rambling"]
    assert CostAware(instructions=10**9)([short, long], 2, Rng(0)) == ["long", "short"]


@given(
    same=st.floats(100, 5000),
    rate=st.floats(0.001, 10),
    sizes=st.lists(st.integers(0, 400), min_size=8, max_size=20),
    looks=st.lists(st.tuples(st.floats(0.01, 1), st.integers(0, 400)), min_size=2, max_size=5),
)
def test_bills_tell_what_a_question_costs(
    same: float, rate: float, sizes: list[int], looks: list[tuple[float, int]]
) -> None:
    def price(size: int) -> float:  # of a chain that is read and answered
        return rate * (same + 5 * size)

    past = [bought(Charge(money=price(size)), text="x" * size) for size in [*sizes, 0, 400]]
    pool = [candidate(str(i), score, question="", text="x" * size) for i, (score, size) in enumerate(looks)]
    picks = [looks[int(id)] for id in CostAware().having(past)(pool, 9, Rng(0))]
    worth = [score / price(size) for score, size in picks]
    assert all(one > other * 0.99 for one, other in pairwise(worth))  # lengths are whole characters


def test_bills_that_do_not_rise_with_length_leave_the_score() -> None:
    short, long = candidate("short", 0.5), candidate("long", 0.9, question="How many?" + "." * 9000)
    assert CostAware()([short, long], 2, Rng(0)) == ["short", "long"]
    alike = [bought(Charge(tokens_out=50), text="x" * size) for size in range(10)]
    falling = [bought(Charge(tokens_out=90 - size), text="x" * size) for size in range(10)]
    for past in (alike, falling):
        assert CostAware().having(past)([short, long], 2, Rng(0)) == ["long", "short"]
    for little in ([], alike[:9], [bought(Charge(), text="x" * size) for size in range(10)], alike[:1] * 10):
        assert CostAware().having(little) == CostAware()


def test_the_oracle_takes_wrong_answers_first() -> None:
    pool = [
        candidate("right", text="The answer is 5.00."),
        candidate("wrong", text="The answer is 6."),
        candidate("silent", text="Who knows?"),
        candidate("option", answer="sea", choices=("sky", "sea"), text="The answer is 6."),
        candidate("word", answer="moo", text="The answer is 5."),
    ]
    for seed in range(9):
        picks = Oracle(analysis=True)(pool, 5, Rng(seed))
        assert picks[-1] == "right"
    with pytest.raises(ConfigError, match="needs gold answers, and 'q' has none"):
        Oracle(analysis=True)([candidate("q", answer=None)], 1, Rng(0))


def test_the_oracle_refuses_to_run_unless_it_is_for_analysis() -> None:
    raw: dict[str, Any] = {
        "data": {"pool": "p.jsonl", "heldout": "h.jsonl"},
        "task": "numeric",
        "student": {"engine": "fake"},
        "teacher": "reference",
        "selector": {"kind": "oracle"},
    }
    for selector in ("oracle", {"kind": "oracle"}, {"kind": "oracle", "analysis": False}):
        with pytest.raises(RefusedError, match="analysis: true") as refused:
            Experiment.of(raw | {"selector": selector})
        assert refused.value.exit_code == 3
    assert Experiment.of(raw | {"selector": {"kind": "oracle", "analysis": True}}).selector == Oracle(analysis=True)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Stratified(strata=0), "strata"),
        (lambda: FacilityLocation(most=0), "most"),
        (lambda: CostAware(instructions=0), "instructions"),
        (lambda: CostAware(output=-1.0), "output"),
        (lambda: CostAware(output=float("nan")), "output"),
    ],
)
def test_settings_that_cannot_be_used_are_named(make: Any, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^selector\.{key}: "):
        make()
