"""The score against the verdicts: AUROC and calibration error against slow references, and what counts as what."""

from dataclasses import replace
from itertools import product
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.evaluation.calibration import auroc, calibration, calibration_error
from elad.outcomes import RevisionOutcome, Verdict
from elad.records import Candidate, Charge, Problem, Revision, Sampling, StepScores
from elad.tasks.chains import make_chain
from elad.tasks.numeric import Numeric

scores = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1))  # ties are common
pairs = st.lists(st.tuples(scores, st.booleans()), max_size=30)

R, W, U = Verdict.RIGHT, Verdict.WRONG, Verdict.UNJUDGED


def slow_auroc(given: list[tuple[float, bool]]) -> float | None:
    """Every wrong thing against every right one."""
    wrong = [score for score, label in given if label]
    right = [score for score, label in given if not label]
    won = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(wrong, right)]
    return fmean(won) if won else None


def slow_error(given: list[tuple[float, bool]]) -> float:
    """Bin by bin, as it is defined: the share of the pairs times mean score minus share of wrong ones."""
    total = 0.0
    for low in range(10):
        inside = [(s, w) for s, w in given if low <= s * 10 < low + 1 or (low == 9 and s == 1)]
        if inside:
            gap = abs(fmean(s for s, _ in inside) - fmean(float(w) for _, w in inside))
            total += len(inside) / len(given) * gap
    return total


@given(pairs)
def test_auroc_is_the_slow_one(given: list[tuple[float, bool]]) -> None:
    assert auroc(given) == pytest.approx(slow_auroc(given))


@given(pairs)
def test_auroc_of_the_opposite_score_is_the_complement(given: list[tuple[float, bool]]) -> None:
    found, opposite = auroc(given), auroc([(-score, label) for score, label in given])
    assert (found is None) == (opposite is None)
    assert found is None or found == pytest.approx(1 - (opposite or 0.0))


def test_auroc_of_a_library() -> None:
    # scipy 1.17.1, mannwhitneyu(wrong, right).statistic / (4 * 4)
    values = [0.1, 0.4, 0.35, 0.8, 0.4, 0.4, 0.9, 0.2]
    labels = [False, False, True, True, True, False, True, False]
    assert auroc(list(zip(values, labels, strict=True))) == 0.8125


@given(pairs.filter(bool))
def test_calibration_error_is_the_slow_one(given: list[tuple[float, bool]]) -> None:
    assert calibration_error(given) == pytest.approx(slow_error(given))


def test_calibration_error_at_the_ends() -> None:
    assert calibration_error([]) is None
    assert calibration_error([(1.0, True), (0.0, False)]) == 0.0
    assert calibration_error([(1.0, False), (0.0, True)]) == 1.0


def test_a_score_above_1_is_no_chance_of_being_wrong() -> None:
    assert calibration_error([(1.5, True), (0.0, False)]) is None
    assert auroc([(1.5, True), (0.0, False)]) == 1.0


def candidate(text: str, scores: StepScores | None) -> Candidate:
    problem = Problem(id="p", question="2 and 3?")
    chain = make_chain(
        text, problem, Numeric(), finished=True, sampling=Sampling(), seed=0, tokens=9, most_steps=12
    )  # fmt: skip
    return Candidate(problem=problem, chain=chain, scores=scores)


def unscored(steps: int) -> Candidate:
    return candidate("2 + 3 = 5.\n" * (steps - 1) + "The answer is 5.", None)


def scored(*steps: float) -> Candidate:
    """A question whose chain has a step for each score."""
    scores = StepScores(parts={}, steps=steps, aggregate=fmean(steps), confidence=1.0)
    return replace(unscored(len(steps)), scores=scores)


def revision(outcome: RevisionOutcome, *verdicts: Verdict, tokens: int = 0) -> Revision:
    return Revision(
        problem_id="p", outcome=outcome, before="", after=None, answer=None, verdicts=verdicts, first_error=None,
        edit=None, reason="", reviser="r", charge=Charge(calls=1, tokens_out=tokens), requests=(), prompt_versions=(),
    )  # fmt: skip


def test_what_counts_as_wrong_and_as_right() -> None:
    found = calibration(
        [
            (scored(0.1, 0.9, 0.5), revision(RevisionOutcome.REPAIRED, R, W, U, tokens=9)),
            (scored(0.2), revision(RevisionOutcome.ACCEPTED, R, tokens=5)),
            (scored(0.3), revision(RevisionOutcome.ACCEPTED, U, tokens=7)),  # right, as its answer is; unlooked at
            (scored(0.4), revision(RevisionOutcome.REPAIRED, U)),  # it lacked its end
            (scored(0.8), revision(RevisionOutcome.COPIED, W)),
            (scored(0.6), revision(RevisionOutcome.UNREADABLE, U)),
            (scored(0.6), revision(RevisionOutcome.REWRITTEN, U)),
            (unscored(1), revision(RevisionOutcome.ACCEPTED, R, tokens=1)),
        ]
    )
    assert (found.steps.n, found.steps.wrong, found.steps.auroc) == (4, 2, 1.0)
    assert (found.questions.n, found.questions.wrong, found.questions.auroc) == (5, 3, 1.0)
    assert (found.judged, found.unneeded, found.unneeded_charge.tokens_out) == (6, 3, 13)


def test_one_class_alone_cannot_be_told_apart() -> None:
    found = calibration([(scored(0.4), revision(RevisionOutcome.REPAIRED, W))])
    assert (found.steps.n, found.steps.wrong, found.steps.auroc) == (1, 1, None)
    nothing = calibration([(unscored(1), revision(RevisionOutcome.REWRITTEN, U))])
    assert (nothing.questions.n, nothing.questions.calibration_error, nothing.judged) == (0, None, 0)


def test_a_score_of_whole_questions_says_nothing_of_steps() -> None:
    whole = StepScores(parts={}, steps=(), aggregate=0.7, confidence=1.0)
    found = calibration([(replace(unscored(2), scores=whole), revision(RevisionOutcome.REPAIRED, R, W))])
    assert (found.steps.n, found.questions.n) == (0, 1)


def test_a_chain_that_ends_wrong_is_wrong_though_its_judge_let_every_step_pass() -> None:
    passed = (scored(0.7, 0.2), revision(RevisionOutcome.WRONG_END, R, R))
    found = calibration([passed, (scored(0.1, 0.1), revision(RevisionOutcome.ACCEPTED, R, R, tokens=3))])
    assert (found.questions.n, found.questions.wrong, found.judged, found.unneeded) == (2, 1, 2, 1)
    assert (found.steps.n, found.steps.wrong) == (2, 0)  # which of its verdicts is wrong, nobody knows
    without_end = calibration([(scored(0.7, 0.2), revision(RevisionOutcome.WRONG_END, R, U))])
    assert (without_end.questions.wrong, without_end.steps.n) == (1, 1)
    unjudged = calibration([(scored(0.7, 0.2), revision(RevisionOutcome.WRONG_END, U, U))])
    assert (unjudged.questions.n, unjudged.judged) == (0, 0)


def test_what_follows_the_conclusion_was_not_scored_and_is_not_certain() -> None:
    scores = StepScores(parts={}, steps=(0.5, 0.5, 0.0), aggregate=0.5, confidence=1.0)
    one = candidate("2 + 3 = 5.\n#### 5\nThe answer is 5.", scores)
    found = calibration([(one, revision(RevisionOutcome.ACCEPTED, R, R, R))])
    assert (found.steps.n, found.steps.calibration_error) == (2, 0.5)


def test_sums_over_steps_have_no_calibration_error() -> None:
    sums = replace(scored(0.9, 0.8), scores=StepScores(parts={}, steps=(0.9, 0.8), aggregate=1.7, confidence=0.0))
    right = (scored(0.1), revision(RevisionOutcome.ACCEPTED, R))
    found = calibration([(sums, revision(RevisionOutcome.REPAIRED, R, W)), right])
    assert (found.questions.auroc, found.questions.calibration_error) == (1.0, None)
    assert found.steps.calibration_error is not None
