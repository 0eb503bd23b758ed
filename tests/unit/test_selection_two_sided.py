"""Student's uncertainty times the teacher's reliability: `top` without a past, and away from what it cannot settle."""

from collections.abc import Sequence
from random import Random as Rng

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import ConfigError
from elad.outcomes import RevisionOutcome as Outcome
from elad.records import Candidate, Chain, Charge, Past, Problem, Sampling, StepScores
from elad.selection.encoder import Encoder
from elad.selection.top import Top
from elad.selection.two_sided import TwoSided
from elad.tasks.chains import make_chain
from elad.tasks.numeric import Numeric

KEPT, LOST = Outcome.REPAIRED, Outcome.UNSURE
Place = tuple[float, ...] | None


def candidate(id: str, aggregate: float, *, length: int = 9, at: Place = None, confidence: float = 0.5) -> Candidate:
    problem = Problem(id=id, question="?" * length, answer="5")
    chain: Chain = make_chain(
        "1.", problem, Numeric(), finished=True, sampling=Sampling(), seed=0, tokens=9, most_steps=12
    )  # fmt: skip
    scores = StepScores(parts={}, steps=(), aggregate=aggregate, confidence=confidence)
    return Candidate(problem=problem, chain=chain, scores=scores, embedding=at)


def past(outcome: Outcome, *, length: int = 9, at: Place = None) -> Past:
    return Past(
        round=1,
        problem=Problem(id="bought", question="?" * length),
        chain="1.",
        aggregate=0.5,
        parts={},
        embedding=at,
        by=None,
        outcome=outcome,
        changed=True,
        charge=Charge(),
    )


pools = st.dictionaries(
    st.text(min_size=1, max_size=3), st.tuples(st.floats(0, 1), st.sampled_from([0.1, 0.9]), st.integers(1, 99))
).map(lambda rows: [candidate(id, score, confidence=sure, length=n) for id, (score, sure, n) in rows.items()])


@given(pool=pools, seed=st.integers(0, 2**32), allowance=st.integers(0, 9))
def test_without_a_past_it_is_top(pool: list[Candidate], seed: int, allowance: int) -> None:
    assert TwoSided()(pool, allowance, Rng(seed)) == Top()(pool, allowance, Rng(seed))


@given(
    pool=pools, ends=st.lists(st.tuples(st.sampled_from([KEPT, LOST]), st.integers(1, 99)), max_size=10),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_with_no_more_bought_than_are_near_it_is_top(
    pool: list[Candidate], ends: Sequence[tuple[Outcome, int]], seed: int
) -> None:
    taught = TwoSided(neighbours=10).having([past(outcome, length=length) for outcome, length in ends])
    # Scores that are equal but for rounding may fall together when they are multiplied.
    scores = {one.problem.id: one.scores.aggregate for one in pool if one.scores}
    found = [scores[id] for id in taught(pool, 99, Rng(seed))]
    assert found == pytest.approx([scores[id] for id in Top()(pool, 99, Rng(seed))], abs=1e-12)


def test_what_the_teacher_could_not_settle_comes_later() -> None:
    """By hand: near 10 characters 1 of 3 is kept, (1 + 1) / (3 + 2) = 0.4; near 90 all are, 0.8."""
    bought = [past(outcome, length=10) for outcome in (LOST, KEPT, LOST)] + [past(KEPT, length=90)] * 3
    taught = TwoSided(neighbours=3).having(bought)
    assert taught([candidate("short", 0.9, length=12), candidate("long", 0.46, length=80)], 2, Rng(0))[0] == "long"
    assert taught([candidate("short", 0.9, length=12), candidate("long", 0.44, length=80)], 2, Rng(0))[0] == "short"


def test_a_chain_that_needed_no_repair_was_settled() -> None:
    pool = [candidate("short", 0.5, length=12), candidate("long", 0.5, length=80)]
    for good in (Outcome.ACCEPTED, KEPT, Outcome.REWRITTEN):
        for bad in (LOST, Outcome.UNREADABLE, Outcome.WRONG_END, Outcome.COPIED):
            taught = TwoSided(neighbours=1).having([past(bad, length=10), past(good, length=90)])
            assert taught(pool, 1, Rng(0)) == ["long"]


def test_near_is_what_the_encoder_says() -> None:
    here, there = (5.0, 0.1), (0.1, 5.0)
    bought = [past(LOST, at=here), past(KEPT, at=there)] * 4
    pool = [candidate("here", 0.9, at=(5.0, 0.0)), candidate("there", 0.5, at=(0.0, 5.0))]
    assert TwoSided(encoder=Encoder(), neighbours=4).having(bought)(pool, 2, Rng(0)) == ["there", "here"]
    assert TwoSided(neighbours=4).having(bought)(pool, 2, Rng(0)) == ["here", "there"]


def test_settings_and_scores_that_cannot_be_used_are_named() -> None:
    with pytest.raises(ConfigError, match=r"^selector\.neighbours: must be at least 1, not 0"):
        TwoSided(neighbours=0)
    with pytest.raises(ValueError, match="the selector `two_sided` needs scores of at least 0"):
        TwoSided()([candidate("a", -0.1)], 1, Rng(0))
    with pytest.raises(ValueError, match="bought: the selector `two_sided` needs embeddings"):
        TwoSided(encoder=Encoder()).having([past(KEPT)])([candidate("a", 0.1, at=(1.0,))], 1, Rng(0))
