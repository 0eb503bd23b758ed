"""How much less one arm spends than another to come to the same accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from elad.evaluation.curves import Curve, Reach, accuracy_at, area, at, common_end, reached
from elad.evaluation.paired import Estimate, Rows, mean_difference

_LOOKS = 64
_HALVINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What an arm saves against a reference at an accuracy: 0.3 is 30 % less, -0.5 is half as much again."""

    accuracy: float
    spent: float | Reach
    reference: float | Reach
    """What the reference had spent."""
    value: float | None
    """None where an arm never reached the accuracy, or the reference had it before it spent anything."""
    low: float | None
    """None is open: for all that can be told, the arm may need more than it has spent."""
    high: float | None
    beyond: bool
    """Whether the arm is clearly worse up to its end: it needs more than it has spent, and saves less than `high`."""
    interval: bool
    """Whether `low` and `high` mean anything: there are two seeds, and the reference has reached the accuracy."""


def final_accuracy(curves: Sequence[Curve], cost: str) -> float:
    """The mean accuracy where the first of the curves ends."""
    return accuracy_at(curves, cost, common_end(curves, cost))


def saving(arm: Sequence[Curve], reference: Sequence[Curve], cost: str, accuracy: float) -> Saving:
    """What `arm` saves of a cost against `reference`, whose curves are those of the same seeds in the same order.

    Both are taken where their mean curves first come to the accuracy. The interval holds the savings at which the arm
    is not told apart from the reference as it is there: from the first cost at which it is no longer clearly worse to
    the one from which on, up to its end, it is clearly better, question by question (`mean_difference`). Each end can
    only be wrong where the comparison at the true cost is; the first of many looks that seem clearly better would be
    wrong far more often. So it needs no ratio of two noisy costs, and what was never reached is no number in it (after
    Fieller 1954; the two ends are ours [D]).
    """
    there, here = reached(reference, cost, accuracy), reached(arm, cost, accuracy)
    value, low, high, beyond, interval = None, None, None, False, False
    if not isinstance(there, Reach) and there > 0:
        value = None if isinstance(here, Reach) else 1 - here / there
        interval = len(arm) > 1
        low, high, beyond = _ends(arm, reference, cost, there) if interval else (None, None, False)
    return Saving(
        accuracy=accuracy,
        spent=here,
        reference=there,
        value=value,
        low=low,
        high=high,
        beyond=beyond,
        interval=interval,
    )


def mean_area(curves: Sequence[Curve], cost: str, end: float) -> float:
    """The mean accuracy along the curves up to `end`: the area under them, divided by it."""
    return fmean(fmean(curve.values(area(curve.costs[cost], end))) for curve in curves)


def area_differences(arm: Sequence[Curve], reference: Sequence[Curve], cost: str) -> Rows:
    """By seed and question, how much larger the mean accuracy is along the curve, as far as all curves go.

    Raises: ValueError where some curve has spent nothing.
    """
    end = common_end([*arm, *reference], cost)
    ours, theirs = ([curve.values(area(curve.costs[cost], end)) for curve in curves] for curves in (arm, reference))
    return _differences(ours, theirs)


def _ends(
    arm: Sequence[Curve], reference: Sequence[Curve], cost: str, there: float
) -> tuple[float | None, float, bool]:
    """The ends of the interval of the saving against a reference that has spent `there`, and `Saving.beyond`."""
    end = common_end(arm, cost)
    theirs = [curve.values(at(curve.costs[cost], there)) for curve in reference]

    @cache
    def held(amount: float) -> Estimate:
        ours = [curve.values(at(curve.costs[cost], amount)) for curve in arm]
        return mean_difference(_differences(ours, theirs))

    worse_until = _first(lambda amount: held(amount).high >= 0, 0, end)
    unclear_until = _first(lambda amount: held(amount).low <= 0, end, 0)
    high, beyond = 1 - (end if worse_until is None else worse_until) / there, worse_until is None
    low = None if unclear_until == end else 1 - (unclear_until or 0) / there
    return low, high, beyond


def _first(holds: Callable[[float], bool], start: float, stop: float) -> float | None:
    """The first cost on the way from `start` to `stop` at which it holds, as far as a grid shows; None for none."""
    before = start
    for look in range(_LOOKS + 1):
        here = start + (stop - start) * look / _LOOKS
        if not holds(here):
            before = here
            continue
        if look:
            for _ in range(_HALVINGS):
                middle = (before + here) / 2
                before, here = (before, middle) if holds(middle) else (middle, here)
        return here
    return None


def _differences(ours: Rows, theirs: Rows) -> Rows:
    return [[mine - its for mine, its in zip(one, other, strict=True)] for one, other in zip(ours, theirs, strict=True)]
