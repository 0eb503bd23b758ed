"""What every selector must keep, and what each one adds."""

from math import inf, nan
from random import Random as Rng

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.outcomes import ParseOutcome
from elad.protocols import Selector
from elad.records import Candidate, Chain, Problem, Sampling, StepScores
from elad.selection.random import Random
from elad.selection.top import Top

SELECTORS: list[Selector] = [Top(), Random()]
every_selector = pytest.mark.parametrize("selector", SELECTORS, ids=lambda selector: type(selector).__name__)


def candidate(id: str, aggregate: float = 0.5, confidence: float = 0.5) -> Candidate:
    chain = Chain(
        problem_id=id,
        text="",
        steps=(),
        answer=None,
        outcome=ParseOutcome.NO_CONCLUSION,
        sampling=Sampling(),
        seed=0,
        tokens=0,
    )
    scores = StepScores(parts={}, steps=(), aggregate=aggregate, confidence=confidence)
    return Candidate(problem=Problem(id=id, question="How many?"), chain=chain, scores=scores)


shares = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)
pools = st.dictionaries(st.text(min_size=1, max_size=4), st.tuples(shares, shares), max_size=12).map(
    lambda rows: [candidate(id, aggregate, confidence) for id, (aggregate, confidence) in rows.items()]
)


@every_selector
@given(pool=pools, allowance=st.integers(-2, 15), seed=st.integers(0, 2**32), order=st.randoms())
def test_conformance(selector: Selector, pool: list[Candidate], allowance: int, seed: int, order: Rng) -> None:
    before = list(pool)
    picks = selector(pool, allowance, Rng(seed))
    assert pool == before
    assert picks == selector(pool, allowance, Rng(seed))
    assert len(picks) == len(set(picks)) == min(max(allowance, 0), len(pool))
    assert set(picks) <= {each.problem.id for each in pool}
    order.shuffle(before)
    assert picks == selector(before, allowance, Rng(seed))


@every_selector
def test_empty_pool_and_no_allowance(selector: Selector) -> None:
    assert selector([], 5, Rng(0)) == []
    assert selector([candidate("a"), candidate("b")], 0, Rng(0)) == []


@every_selector
def test_a_problem_with_several_chains_is_picked_once(selector: Selector) -> None:
    pool = [candidate("a", 0.2), candidate("a", 0.9), candidate("b", 0.5)]
    assert sorted(selector(pool, 3, Rng(0))) == ["a", "b"]


@every_selector
def test_equal_scores_fall_to_the_seed(selector: Selector) -> None:
    pool = [candidate(str(number)) for number in range(10)]
    picks = {tuple(selector(pool, 3, Rng(seed))) for seed in range(30)}
    assert len(picks) > 20


@given(pool=pools, seed=st.integers(0, 2**32))
def test_top_ranks_by_score_then_by_doubt(pool: list[Candidate], seed: int) -> None:
    by_id = {each.problem.id: each.scores for each in pool}
    ranks = [(-scores.aggregate, scores.confidence) for id in Top()(pool, 99, Rng(seed)) if (scores := by_id[id])]
    assert ranks == sorted(ranks)
    assert len(ranks) == len(pool)


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_top_refuses_what_is_not_a_number(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Top()([candidate("a"), candidate("b", aggregate=bad)], 1, Rng(0))
    with pytest.raises(ValueError, match="finite"):
        Top()([candidate("a"), candidate("b", confidence=bad)], 1, Rng(0))


def test_only_top_needs_scores() -> None:
    bare = Candidate(problem=candidate("a").problem, chain=candidate("a").chain, scores=None)
    assert Top().needs_scores
    with pytest.raises(ValueError, match="needs scores"):
        Top()([bare], 1, Rng(0))
    assert not Random().needs_scores
    assert Random()([bare], 1, Rng(0)) == ["a"]
    # Wrong scores cannot matter to a selector that does not look at them.
    assert Random()([candidate("a", nan)], 1, Rng(0)) == ["a"]
