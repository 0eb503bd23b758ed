"""Does the score tell what is wrong? Step uncertainty held against the teacher's verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from pydantic import ConfigDict

from elad.outcomes import RevisionOutcome, Verdict
from elad.records import Candidate, Charge, Revision
from elad.uncertainty.beliefs import scored

_CONFIG = ConfigDict(extra="forbid")
_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How well a score tells wrong things from right ones."""

    __pydantic_config__ = _CONFIG

    n: int
    """Things with a score and a verdict."""
    wrong: int
    auroc: float | None
    """None, cannot be said, where nothing or everything is wrong."""
    calibration_error: float | None
    """None where `n` is 0, or a score is no chance of being wrong: sums over steps may be above 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Things with scores in the half-open range `[low, high)`; the last one holds 1 too."""

    __pydantic_config__ = _CONFIG

    low: float
    high: float
    n: int
    score: float
    """The mean of their scores."""
    wrong: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Scores beside the verdicts on what they are of: True is wrong."""

    steps: tuple[tuple[float, bool], ...]
    questions: tuple[tuple[float, bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the teacher's verdicts of one round say of the scores that its questions were picked by."""

    __pydantic_config__ = _CONFIG

    steps: Detection
    questions: Detection
    judged: int
    """Questions of which the teacher said whether they need a repair, scored or not."""
    unneeded: int
    """Of these, those that needed none."""
    unneeded_charge: Charge
    """What was paid to learn that."""


def calibration(bought: Sequence[tuple[Candidate, Revision]]) -> Calibration:
    """The calibration of what was bought: each question with the scores that it was picked by, and its revision."""
    both = labelled(bought)
    labels = [_wrong(revision) for _, revision in bought]
    accepted = [revision.charge for (_, revision), wrong in zip(bought, labels, strict=True) if wrong is False]
    return Calibration(
        steps=_detection(both.steps),
        questions=_detection(both.questions),
        judged=sum(label is not None for label in labels),
        unneeded=len(accepted),
        unneeded_charge=sum(accepted, Charge()),
    )


def labelled(bought: Sequence[tuple[Candidate, Revision]]) -> Labelled:
    """The scored steps and questions of what was bought that have a verdict.

    A step is wrong or right by its verdict; one after the conclusion has no score and counts nowhere. A question is
    right where the revision accepts it, wrong where a step was found wrong, something was repaired, or a chain that was
    judged ends wrong. Where the judge found no wrong step in such a chain, one of the verdicts is wrong and nobody
    knows which: its steps count nowhere. Neither does what nobody judged (a rewrite, an unreadable reply).
    """
    steps: list[tuple[float, bool]] = []
    questions: list[tuple[float, bool]] = []
    for candidate, revision in bought:
        wrong = _wrong(revision)
        if candidate.scores is None or wrong is None:
            continue
        questions.append((candidate.scores.aggregate, wrong))
        steps += _steps(candidate, revision)
    return Labelled(steps=tuple(steps), questions=tuple(questions))


def auroc(pairs: Sequence[tuple[float, bool]]) -> float | None:
    """The chance that a wrong thing scores above a right one, a tie counting half; None where one of them is missing.

    >>> auroc([(0.9, True), (0.5, True), (0.5, False), (0.1, False)])
    0.875
    """
    wrong = sum(is_wrong for _, is_wrong in pairs)
    right = len(pairs) - wrong
    if not wrong or not right:
        return None
    below, won = 0, 0.0
    for _, tied in groupby(sorted(pairs), key=lambda pair: pair[0]):
        labels = [is_wrong for _, is_wrong in tied]
        rights = labels.count(False)
        won += labels.count(True) * (below + rights / 2)
        below += rights
    return won / (wrong * right)


def calibration_error(pairs: Sequence[tuple[float, bool]]) -> float | None:
    """Expected calibration error of scores read as the chance of being wrong, 0..1, over ten bins of equal width.

    Edge cases: a score on the border of two bins belongs to the upper one, 1 to the last; None without pairs, and
    where a score cannot be read as a chance.
    """
    if not pairs or not all(0 <= score <= 1 for score, _ in pairs):
        return None
    return sum(abs(sum(score - wrong for score, wrong in members)) for members in _binned(pairs).values()) / len(pairs)


def reliability(pairs: Sequence[tuple[float, bool]]) -> list[Bin]:
    """The same bins one by one, the empty ones left out; none where a score cannot be read as a chance.

    >>> [(one.low, one.n, one.wrong) for one in reliability([(0.1, False), (0.15, True), (1.0, True)])]
    [(0.1, 2, 1), (0.9, 1, 1)]
    """
    if not all(0 <= score <= 1 for score, _ in pairs):
        return []
    return [
        Bin(
            low=place / _BINS,
            high=(place + 1) / _BINS,
            n=len(members),
            score=fmean(score for score, _ in members),
            wrong=sum(wrong for _, wrong in members),
        )
        for place, members in sorted(_binned(pairs).items())
    ]


def _binned(pairs: Sequence[tuple[float, bool]]) -> dict[int, list[tuple[float, bool]]]:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for score, wrong in pairs:
        bins.setdefault(min(int(score * _BINS), _BINS - 1), []).append((score, wrong))
    return bins


def _wrong(revision: Revision) -> bool | None:
    if revision.outcome is RevisionOutcome.ACCEPTED:
        return False
    if revision.outcome is RevisionOutcome.WRONG_END:
        return True if {*revision.verdicts} - {Verdict.UNJUDGED} else None
    found = revision.outcome is RevisionOutcome.REPAIRED or Verdict.WRONG in revision.verdicts
    return True if found else None


def _steps(candidate: Candidate, revision: Revision) -> list[tuple[float, bool]]:
    """The scored steps with a verdict, and whether they are wrong; none where questions alone are scored."""
    passed = {*revision.verdicts} == {Verdict.RIGHT} and candidate.chain.answer is not None
    if candidate.scores is None or not candidate.scores.steps or (passed and _wrong(revision)):
        return []
    pairs = list(zip(candidate.scores.steps, revision.verdicts, strict=True))[: scored(candidate.chain)]
    return [(score, verdict is Verdict.WRONG) for score, verdict in pairs if verdict is not Verdict.UNJUDGED]


def _detection(pairs: Sequence[tuple[float, bool]]) -> Detection:
    wrong = sum(is_wrong for _, is_wrong in pairs)
    return Detection(n=len(pairs), wrong=wrong, auroc=auroc(pairs), calibration_error=calibration_error(pairs))
