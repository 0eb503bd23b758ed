"""IFD's picks: the brief experience, the highest scores without what is dropped, and the control of equal lengths."""

from collections import Counter
from math import exp
from random import Random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_kit import problems

from elad.asks import Prompt
from elad.methods.ifd import Cherry, Experience, LengthMatched, Placed
from elad.outcomes import RevisionOutcome
from elad.records import Candidate, Charge, Past, Problem, Sampling, StepScores
from elad.students.fake import Fake
from elad.tasks.chains import make_chain
from elad.tasks.numeric import Numeric

TASK = Numeric()


def candidate(
    id: str, aggregate: float = 0.4, *, at: tuple[float, ...] | None = None, words: int = 1, left_out: bool = False
) -> Candidate:
    problem = Problem(id=id, question="How many?", answer="5", rationale="x" * words)
    said = make_chain("So 5.", problem, TASK, finished=True, sampling=Sampling(), seed=0, tokens=9, most_steps=12)
    detail = {"left_out": "above 1"} if left_out else {}
    scores = StepScores(parts={}, steps=(), aggregate=aggregate, confidence=0.5, detail=detail)
    return Candidate(problem=problem, chain=said, scores=scores, embedding=at)


def past() -> list[Past]:
    return [
        Past(
            round=1,
            problem=Problem(id="bought", question="?"),
            chain="",
            aggregate=0.1,
            parts={},
            embedding=(0.0, 1.0, 1.0),
            by=None,
            outcome=RevisionOutcome.REWRITTEN,
            changed=True,
            charge=Charge(),
        )
    ]


rated = st.dictionaries(st.text(min_size=1, max_size=3), st.tuples(st.floats(0, 1), st.booleans()), max_size=12)


@given(rated, st.integers(-1, 14), st.integers(0, 99))
def test_cherries_are_the_highest_not_left_out(rows: dict[str, tuple[float, bool]], count: int, seed: int) -> None:
    pool = [candidate(id, score, left_out=out) for id, (score, out) in rows.items()]
    picks = Cherry(experience=None)(pool, count, Random(seed))
    kept = sorted((score for score, out in rows.values() if not out), reverse=True)
    assert [rows[id][0] for id in picks] == kept[: max(count, 0)]
    assert not any(rows[id][1] for id in picks)


def clouds(*sizes: int) -> list[Candidate]:
    """Questions in tight groups that lie far apart; the last number, the loss of each, is drawn."""
    corners = ((9.0, 0.0, 0.0), (0.0, 9.0, 0.0), (0.0, 0.0, 9.0))
    rng = Random(5)
    return [
        candidate(f"{'abc'[group]}{i}", at=(*(x + rng.random() / 100 for x in corners[group]), 5 * rng.random()))
        for group, size in enumerate(sizes)
        for i in range(size)
    ]


@pytest.mark.parametrize("band", [(25.0, 75.0), (1.0, 99.0), (40.0, 60.0)])
def test_the_experience_is_evenly_spaced_within_the_band_of_each_cluster(band: tuple[float, float]) -> None:
    pool = clouds(13, 30, 22)
    picks = Experience(clusters=3, band=band).draw(pool, 9, Random(0))
    assert Counter(id[0] for id in picks) == {"a": 3, "b": 3, "c": 3}
    assert [id[0] for id in picks] == ["b", "c", "a"] * 3  # any first few are of all clusters
    for group in "abc":
        losses = {one.problem.id: (one.embedding or (0.0,))[-1] for one in pool if one.problem.id[0] == group}
        low, high = np.percentile([exp(loss) for loss in losses.values()], band)
        middle = sorted((id for id in losses if low <= exp(losses[id]) <= high), key=losses.__getitem__)
        expected = middle[:: max(len(middle) // 3, 1)][:3]
        assert [id for id in picks if id[0] == group] == expected


def test_a_small_cluster_is_taken_whole_and_the_rest_is_filled_by_lot() -> None:
    pool = clouds(2, 30, 30)
    drawn = [Experience(clusters=3).draw(pool, 15, Random(seed)) for seed in range(8)]
    for picks in drawn:
        assert len(set(picks)) == 15
        assert {"a0", "a1"} < {*picks}
    assert len({frozenset(picks) for picks in drawn}) > 1


def test_more_clusters_than_picks_are_one_a_pick() -> None:
    picks = Experience(clusters=100).draw(clouds(5, 5, 5), 3, Random(1))
    assert sorted(id[0] for id in picks) == ["a", "b", "c"]


def test_the_experience_comes_first_and_once() -> None:
    pool = [candidate(one.problem.id, place / 99, at=one.embedding) for place, one in enumerate(clouds(20, 20, 20))]
    cherry = Cherry(experience=Experience(clusters=3))
    assert cherry.having([])(pool, 6, Random(0)) == Experience(clusters=3).draw(pool, 6, Random(0))
    assert cherry.having(past())(pool, 3, Random(0)) == [one.problem.id for one in reversed(pool[-3:])]
    assert cherry.having(past()).encoder is None


@pytest.mark.parametrize("strata", [1, 4, 10, 99])
def test_the_control_has_as_many_of_each_length(strata: int) -> None:
    rng = Random(2)
    pool = [candidate(f"q{place}", rng.random(), words=place, left_out=place % 7 == 0) for place in range(80)]
    control = LengthMatched(like=Cherry(experience=None), strata=strata)
    open_ = [one.problem.id for one in pool if one.scores and "left_out" not in one.scores.detail]

    def part(id: str) -> int:
        return next(part for part in range(strata) if open_.index(id) < (part + 1) * len(open_) // strata)

    shares: list[Counter[int]] = []
    chosen = Counter[str]()
    for seed in range(40):
        picks = control(pool, 20, Random(seed))
        assert len(set(picks)) == 20
        shares.append(Counter(map(part, picks)))
        chosen.update(picks)
    wanted = Counter(map(part, control.like(pool, 20, Random(0))))
    assert all(share == wanted for share in shares)
    assert {*chosen} <= {*open_}  # what the score leaves out is no control of what it picks
    if strata < 80:  # by lot within a stratum: what scores low is drawn too
        assert len(chosen) > 40
    else:
        assert {*chosen} == {*control.like(pool, 20, Random(0))}


def test_the_control_has_the_same_experience() -> None:
    pool = clouds(9, 9, 9)
    cherry = Cherry(experience=Experience(clusters=3))
    control = LengthMatched(like=cherry)
    assert control(pool, 6, Random(3)) == cherry(pool, 6, Random(3))
    assert control.having(past()).like.experience is None
    assert control.encoder == cherry.encoder == Placed()


def test_where_a_question_lies_ends_with_the_loss_of_its_own_words() -> None:
    student, given = Fake().open(), list(problems(3, 0, "p"))
    found = Placed()(given, student, TASK)
    for problem, vector in zip(given, found, strict=True):
        (said,) = student.score([(Prompt(messages=()), problem.question)])
        assert vector[:-1] == student.embed([Prompt(messages=TASK.messages(problem))])[0]
        assert vector[-1] == pytest.approx(-fmean(said))
