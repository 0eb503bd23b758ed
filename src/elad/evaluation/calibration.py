"""Does the score tell what is wrong? Step uncertainty held against the teacher's verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pydantic import ConfigDict

from elad.outcomes import RevisionOutcome, Verdict
from elad.records import Charge, Revision, StepScores

_CONFIG = ConfigDict(extra="forbid")
_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """How well a score in 0..1 tells wrong things from right ones."""

    __pydantic_config__ = _CONFIG

    n: int
    """Things with a score and a verdict."""
    wrong: int
    auroc: float | None
    """None, cannot be said, where nothing or everything is wrong."""
    calibration_error: float | None
    """None where `n` is 0."""


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


def calibration(bought: Sequence[tuple[StepScores | None, Revision]]) -> Calibration:
    """The calibration of what was bought: the scores of each question's chain, where it has any, and its revision.

    A step is wrong or right by its verdict. A question is right where the revision accepts it, wrong where a step
    was found wrong or something was repaired; what nobody judged (a rewrite, an unreadable reply) counts nowhere.
    """
    steps: list[tuple[float, bool]] = []
    questions: list[tuple[float, bool]] = []
    labels = [_wrong(revision) for _, revision in bought]
    for (scores, revision), wrong in zip(bought, labels, strict=True):
        if scores is None or wrong is None:
            continue
        questions.append((scores.aggregate, wrong))
        by_step = (
            zip(scores.steps, revision.verdicts, strict=True) if scores.steps else ()
        )  # some score questions alone
        steps += [(score, verdict is Verdict.WRONG) for score, verdict in by_step if verdict is not Verdict.UNJUDGED]
    accepted = [revision.charge for (_, revision), wrong in zip(bought, labels, strict=True) if wrong is False]
    return Calibration(
        steps=_detection(steps),
        questions=_detection(questions),
        judged=sum(label is not None for label in labels),
        unneeded=len(accepted),
        unneeded_charge=sum(accepted, Charge()),
    )


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

    Edge cases: a score on the border of two bins belongs to the upper one, 1 to the last; None without pairs.
    """
    if not pairs:
        return None
    bins: dict[int, list[tuple[float, bool]]] = {}
    for score, wrong in pairs:
        bins.setdefault(min(int(score * _BINS), _BINS - 1), []).append((score, wrong))
    return sum(abs(sum(score - wrong for score, wrong in members)) for members in bins.values()) / len(pairs)


def _wrong(revision: Revision) -> bool | None:
    if revision.outcome is RevisionOutcome.ACCEPTED:
        return False
    found = revision.outcome is RevisionOutcome.REPAIRED or Verdict.WRONG in revision.verdicts
    return True if found else None


def _detection(pairs: Sequence[tuple[float, bool]]) -> Detection:
    wrong = sum(is_wrong for _, is_wrong in pairs)
    return Detection(n=len(pairs), wrong=wrong, auroc=auroc(pairs), calibration_error=calibration_error(pairs))
