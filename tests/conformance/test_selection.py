"""What every selector must keep: one in `elad.selection`, or in a method's file, is tested by being there."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from random import Random as Rng
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_kit import experiment, problems
from room_kit import check_settings, named, parsed

from elad.experiment import Data, Experiment
from elad.kinds import build
from elad.ledger.events import Ledger
from elad.ledger.reconcile import reconcile
from elad.loop import run
from elad.outcomes import RevisionOutcome
from elad.protocols import Embedded, Experienced, Selector, Several
from elad.records import Candidate, Chain, Charge, Past, Problem, Sampling, StepScores
from elad.report.status import status
from elad.tasks.chains import make_chain
from elad.tasks.numeric import Numeric

ROOM = "elad.selection"
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "oracle": [{"analysis": True}],
    "stratified": [{}, {"within": "lot", "strata": 3}, {"column": "topic"}],
    "facility_location": [{}, {"most": 3}],
    "part": [{"name": "intra"}],
    "two_sided": [{}, {"neighbours": 2, "encoder": {}}],
    "bandit": [
        {},
        {"arms": ["badge", "random"]},
        {"arms": ["core_set", {"kind": "stratified", "within": "lot"}]},
        {"arms": ["two_sided", "top"]},
    ],
    "elad.methods.ifd:Cherry": [{}, {"experience": None}],
    "elad.methods.ifd:LengthMatched": [{}, {"like": {"experience": None}}],
}
"""Settings of a kind that it needs, or that differ in what is done. A kind that is not here is tested as it comes."""
CASES = [(kind, options) for kind in named(ROOM, Selector) for options in VARIANTS.get(kind, [{}])]
SELECTORS: list[Selector] = [build(ROOM, {"kind": kind, **options}, "selector") for kind, options in CASES]
NAMES = [" ".join([kind, *map(str, options)]) for kind, options in CASES]
every_case = pytest.mark.parametrize(("kind", "options"), CASES, ids=NAMES)
every_selector = pytest.mark.parametrize("selector", SELECTORS, ids=NAMES)
every_scored = pytest.mark.parametrize("selector", [one for one in SELECTORS if one.needs_scores])


def embedded(selector: Selector) -> bool:
    return isinstance(selector, Embedded) and selector.encoder is not None


every_embedded = pytest.mark.parametrize("selector", [one for one in SELECTORS if embedded(one)])

every_learner = pytest.mark.parametrize("selector", [one for one in SELECTORS if isinstance(one, Experienced)])


def chain(problem: Problem, text: str) -> Chain:
    return make_chain(
        text, problem, Numeric(), finished=True, sampling=Sampling(), seed=0, tokens=9, most_steps=12
    )  # fmt: skip


def candidate(
    id: str,
    aggregate: float = 0.5,
    confidence: float = 0.5,
    embedding: tuple[float, ...] | None = (1.0, 0.0),
    answer: int = 5,
) -> Candidate:
    problem = Problem(id=id, question="How many?" * (1 + len(id)), answer="5", metadata={"topic": len(id)})
    steps = (aggregate, aggregate)
    scores = StepScores(parts={"intra": steps}, steps=steps, aggregate=aggregate, confidence=confidence)
    own = chain(problem, f"2 + 3 = {answer}.\nThe answer is {answer}.")
    return Candidate(problem=problem, chain=own, scores=scores, embedding=embedding)


shares = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)
numbers = st.sampled_from([0.0, 1.0, -1.0]) | st.floats(-3, 3, allow_subnormal=False)
looks = st.tuples(shares, shares, st.tuples(numbers, numbers, numbers), st.sampled_from([5, 6]))
pools = st.dictionaries(st.text(min_size=1, max_size=4), looks, max_size=12).map(
    lambda rows: [candidate(id, *look) for id, look in rows.items()]
)

charges = st.builds(Charge, money=st.sampled_from([0.0, 0.5, 2.0]), tokens_out=st.integers(0, 9))
pasts = st.lists(
    st.builds(
        Past,
        round=st.integers(1, 3),
        problem=st.builds(Problem, id=st.just("bought"), question=st.text(max_size=9)),
        chain=st.text(max_size=9),
        aggregate=shares,
        parts=st.just({}),
        embedding=st.tuples(numbers, numbers, numbers),
        by=st.sampled_from(["top", "random", "badge", "core_set", None]),
        outcome=st.sampled_from([RevisionOutcome.ACCEPTED, RevisionOutcome.REPAIRED, RevisionOutcome.UNSURE]),
        charge=charges,
    ),
    max_size=14,
)


@every_selector
@settings(max_examples=60)
@given(pool=pools, allowance=st.integers(-2, 15), seed=st.integers(0, 2**32), order=st.randoms())
def test_picks(selector: Selector, pool: list[Candidate], allowance: int, seed: int, order: Rng) -> None:
    before = list(pool)
    picks = selector(pool, allowance, Rng(seed))
    assert pool == before
    assert picks == selector(pool, allowance, Rng(seed))
    assert len(picks) == len(set(picks)) == min(max(allowance, 0), len(pool))
    assert set(picks) <= {each.problem.id for each in pool}
    order.shuffle(before)
    assert picks == selector(before, allowance, Rng(seed))


@every_learner
@settings(max_examples=60)
@given(pool=pools, past=pasts, allowance=st.integers(-2, 15), seed=st.integers(0, 99), order=st.randoms())
def test_what_was_bought_before_may_change_which_are_picked_and_nothing_else(
    selector: Experienced, pool: list[Candidate], past: list[Past], allowance: int, seed: int, order: Rng
) -> None:
    assert selector.having([])(pool, allowance, Rng(seed)) == selector(pool, allowance, Rng(seed))
    taught, mixed = selector.having(past), list(pool)
    picks = taught(pool, allowance, Rng(seed))
    assert taught.needs_scores == selector.needs_scores
    assert len(picks) == len(set(picks)) == min(max(allowance, 0), len(pool))
    assert set(picks) <= {each.problem.id for each in pool}
    order.shuffle(mixed)
    assert selector.having(list(past))(mixed, allowance, Rng(seed)) == picks
    if isinstance(taught, Several):
        assert list(taught.picks(pool, allowance, Rng(seed))) == picks


@every_selector
def test_an_empty_pool_and_no_allowance(selector: Selector) -> None:
    assert selector([], 5, Rng(0)) == []
    pool = [candidate("a"), candidate("b")]
    assert selector(pool, 0, Rng(0)) == selector(pool, -3, Rng(0)) == []


@every_selector
def test_a_pool_of_one(selector: Selector) -> None:
    for aggregate in (0.0, 1.0):
        for embedding in ((0.0, 0.0), (3.0, -1.0)):
            assert selector([candidate("a", aggregate, 0.5, embedding)], 3, Rng(0)) == ["a"]


@every_selector
@given(seed=st.integers(0, 2**32), order=st.permutations(range(4)))
def test_a_problem_with_several_chains_is_picked_once(selector: Selector, seed: int, order: list[int]) -> None:
    pool = [
        candidate("a", 0.2, answer=5),
        candidate("a", 0.9, answer=6),
        candidate("b", 0.5, 0.1, (0.0, 1.0)),
        candidate("a", 0.9, 0.1, answer=5),
    ]
    picks = selector(pool, 3, Rng(seed))
    assert sorted(picks) == ["a", "b"]
    assert selector([pool[place] for place in order], 3, Rng(seed)) == picks


@pytest.fixture(scope="module")
def dear(tmp_path_factory: pytest.TempPathFactory) -> float:
    """What two rounds cost that no cap ends."""
    folder = tmp_path_factory.mktemp("dear")
    run(priced(), folder)
    with Ledger(folder, write=False) as ledger:
        return ledger.spent().money


def priced(*overrides: str, **sections: Any) -> Experiment:
    pool = [replace(each, metadata={"topic": place % 3}) for place, each in enumerate(problems(30, 1, "p"))]
    data = Data(pool=tuple(pool), heldout=problems(4, 2, "h"))
    price = {"input": 0.15, "output": 0.6, "currency": "USD", "per": 1000000}
    return experiment(*overrides, data=data, teacher={"kind": "fake", "price": price}, **sections)


@every_case
def test_a_cap_on_money_ends_a_run_whoever_picks(
    kind: str, options: dict[str, Any], dear: float, tmp_path: Path
) -> None:
    """Whatever is picked, it is bought in that order as far as the cap bears, and the books are right."""
    cap = 0.6 * dear
    run(priced(f"budget.money={cap}", selector={"kind": kind, **options}), tmp_path)
    told = status(tmp_path)
    assert told["reason"].startswith("budget reached: money")
    assert cap / 2 < told["spent"]["money"] <= cap
    assert 0 < told["rounds"][-1]["questions"] < 16
    with Ledger(tmp_path, write=False) as ledger:
        assert reconcile(ledger).problems == ()


@every_selector
def test_the_pool_may_be_read_one_by_one(selector: Selector) -> None:
    """Candidates are looked at in turn; a pool that is read as it goes is none that may be sorted or held."""
    pool = [candidate(str(number), number / 9, 0.5, (number % 3, 1.0)) for number in range(9)]

    class Read(list[Candidate]):
        def __iter__(self) -> Iterator[Candidate]:
            return iter(pool)

        def __len__(self) -> int:
            return len(pool)

    assert selector(Read(), 4, Rng(1)) == selector(pool, 4, Rng(1))


@every_selector
def test_what_is_equal_falls_to_the_seed(selector: Selector) -> None:
    pool = [candidate(chr(97 + number)) for number in range(10)]
    picks = {tuple(selector(pool, 3, Rng(seed))) for seed in range(30)}
    assert len(picks) > 20


@every_scored
@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_scores_that_are_no_numbers_are_refused(selector: Selector, bad: float) -> None:
    for spoilt in (candidate("b", aggregate=bad), candidate("b", confidence=bad)):
        with pytest.raises(ValueError, match="finite"):
            selector([candidate("a"), spoilt], 1, Rng(0))


@every_selector
def test_scores_are_needed_where_it_says_so_and_not_looked_at_elsewhere(selector: Selector) -> None:
    whole = candidate("a", nan)
    bare = Candidate(problem=whole.problem, chain=whole.chain, scores=None, embedding=whole.embedding)
    if selector.needs_scores:
        with pytest.raises(ValueError, match=r"a: the selector `\w+` needs scores, and there are none"):
            selector([bare], 1, Rng(0))
    else:
        assert selector([bare], 1, Rng(0)) == selector([whole], 1, Rng(0)) == ["a"]


@every_selector
def test_embeddings_are_needed_where_it_says_so_and_not_looked_at_elsewhere(selector: Selector) -> None:
    bare = candidate("a", embedding=None)
    if embedded(selector):
        with pytest.raises(ValueError, match=r"a: the selector `\w+` needs embeddings, and there are none"):
            selector([bare], 1, Rng(0))
    else:
        assert selector([bare], 1, Rng(0)) == ["a"]


@every_embedded
def test_embeddings_that_cannot_be_used_are_refused(selector: Selector) -> None:
    for bad in (nan, inf):
        with pytest.raises(ValueError, match="finite"):
            selector([candidate("a"), candidate("b", embedding=(0.0, bad))], 2, Rng(0))
    with pytest.raises(ValueError, match="one length"):
        selector([candidate("a"), candidate("b", embedding=(0.0, 1.0, 2.0))], 2, Rng(0))


@every_selector
def test_settings_are_written_down_and_built_again(selector: Selector) -> None:
    check_settings(ROOM, "selector", selector)


@pytest.mark.parametrize("kind", named(ROOM, Selector))
def test_the_card_tells_the_evidence(kind: str) -> None:
    cards = [
        ast.get_docstring(node) or ""
        for node in ast.walk(parsed(ROOM, kind))
        if isinstance(node, ast.Module | ast.ClassDef)
    ]
    assert any(label in card for card in cards for label in ("[S]", "[2]", "[R]", "[D]"))
