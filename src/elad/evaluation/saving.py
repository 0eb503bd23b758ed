"""How much less one arm spends than another to come to the same accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

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
    interval: bool
    """Whether `low` and `high` mean anything: there are two seeds, and the reference has reached the accuracy."""


def final_accuracy(curves: Sequence[Curve], cost: str) -> float:
    """The mean accuracy where the first of the curves ends."""
    return accuracy_at(curves, cost, common_end(curves, cost))


def saving(arm: Sequence[Curve], reference: Sequence[Curve], cost: str, accuracy: float) -> Saving:
    """What `arm` saves of a cost against `reference`, whose curves are those of the same seeds in the same order.

    Both are taken where their mean curves first come to the accuracy. The interval holds the savings at which the arm
    is not told apart from the reference as it is there: from the first cost at which it is no longer clearly worse to
    the first at which it is clearly better, question by question (`mean_difference`). So it needs no ratio of two
    noisy costs, and what was never reached is no number in it (after Fieller 1954; the two ends are ours [D]).
    """
    there, here = reached(reference, cost, accuracy), reached(arm, cost, accuracy)
    known = not isinstance(there, Reach) and there > 0
    value = 1 - here / there if known and not isinstance(here, Reach) else None
    interval = known and len(arm) > 1
    low, high = _ends(arm, reference, cost, there) if interval and not isinstance(there, Reach) else (None, None)
    return Saving(accuracy=accuracy, spent=here, reference=there, value=value, low=low, high=high, interval=interval)


def area_differences(arm: Sequence[Curve], reference: Sequence[Curve], cost: str) -> Rows:
    """By seed and question, how much larger the mean accuracy is along the curve, as far as all curves go.

    Raises: ValueError where some curve has spent nothing.
    """
    end = common_end([*arm, *reference], cost)
    return _differences(arm, reference, lambda curve: area(curve.costs[cost], end), lambda c: area(c.costs[cost], end))


def _ends(
    arm: Sequence[Curve], reference: Sequence[Curve], cost: str, there: float
) -> tuple[float | None, float | None]:
    """The ends of the interval of the saving against a reference that has spent `there`."""
    end = common_end(arm, cost)

    @cache
    def held(amount: float) -> Estimate:
        ours, theirs = (lambda c: at(c.costs[cost], amount)), (lambda c: at(c.costs[cost], there))
        return mean_difference(_differences(arm, reference, ours, theirs))

    worse_until = _first(lambda amount: held(amount).high >= 0, end)
    better_from = _first(lambda amount: held(amount).low > 0, end)
    high = 1 - (end if worse_until is None else worse_until) / there
    return None if better_from is None else 1 - better_from / there, high


def _first(holds: Callable[[float], bool], end: float) -> float | None:
    """The smallest cost up to `end` at which it holds, as far as a grid shows; None where it does at none."""
    before = 0.0
    for look in range(_LOOKS + 1):
        here = end * look / _LOOKS
        if not holds(here):
            before = here
            continue
        if look:
            for _ in range(_HALVINGS):
                middle = (before + here) / 2
                before, here = (before, middle) if holds(middle) else (middle, here)
        return here
    return None


def _differences(
    arm: Sequence[Curve],
    reference: Sequence[Curve],
    ours: Callable[[Curve], list[float]],
    theirs: Callable[[Curve], list[float]],
) -> Rows:
    rows: list[list[float]] = []
    for one, other in zip(arm, reference, strict=True):
        pairs = zip(one.values(ours(one)), other.values(theirs(other)), strict=True)
        rows.append([mine - its for mine, its in pairs])
    return rows
