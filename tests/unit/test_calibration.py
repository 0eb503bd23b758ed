"""The score against the verdicts: AUROC and calibration error against slow references, and what counts as what."""

from itertools import product
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.evaluation.calibration import auroc, calibration, calibration_error
from elad.outcomes import RevisionOutcome, Verdict
from elad.records import Charge, Revision, StepScores

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


def scored(*steps: float) -> StepScores:
    return StepScores(parts={}, steps=steps, aggregate=fmean(steps), confidence=1.0)


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
            (None, revision(RevisionOutcome.ACCEPTED, R, tokens=1)),
        ]
    )
    assert (found.steps.n, found.steps.wrong, found.steps.auroc) == (4, 2, 1.0)
    assert (found.questions.n, found.questions.wrong, found.questions.auroc) == (5, 3, 1.0)
    assert (found.judged, found.unneeded, found.unneeded_charge.tokens_out) == (6, 3, 13)


def test_one_class_alone_cannot_be_told_apart() -> None:
    found = calibration([(scored(0.4), revision(RevisionOutcome.REPAIRED, W))])
    assert (found.steps.n, found.steps.wrong, found.steps.auroc) == (1, 1, None)
    nothing = calibration([(None, revision(RevisionOutcome.REWRITTEN, U))])
    assert (nothing.questions.n, nothing.questions.calibration_error, nothing.judged) == (0, None, 0)


def test_a_score_of_whole_questions_says_nothing_of_steps() -> None:
    whole = StepScores(parts={}, steps=(), aggregate=0.7, confidence=1.0)
    found = calibration([(whole, revision(RevisionOutcome.REPAIRED, R, W))])
    assert (found.steps.n, found.questions.n) == (0, 1)
