"""Learning curves: what a run answered after each round, against what it had spent by then.

A curve is read between its rounds by straight lines, question by question. So each figure of a run that is linear in
its accuracy (the accuracy at some cost, the area under the curve) is a mean over the held-out questions, and
two runs are compared question by question.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import fmean

_ROUNDING = 1e-9


class Reach(StrEnum):
    """In place of a cost, where there is none."""

    NEVER = "never reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One run: K rounds from 0 on, Q held-out questions in an order that all curves of a comparison share."""

    seed: int
    costs: Mapping[str, tuple[float, ...]]
    """By name of what was spent: how much of it had been after each of the K rounds; it begins at 0 and never falls."""
    right: tuple[tuple[bool, ...], ...]
    """K rows of Q: was the question answered right?"""

    def values(self, weights: Sequence[float]) -> list[float]:
        """For each question, its K answers (1 right, 0 wrong) weighted and summed."""
        used = [(weight, row) for weight, row in zip(weights, self.right, strict=True) if weight]
        return [sum(weight for weight, row in used if row[q]) for q in range(len(self.right[0]))]

    @property
    def accuracies(self) -> list[float]:
        """The share of right answers after each round."""
        return [fmean(row) for row in self.right]


def common_end(curves: Sequence[Curve], cost: str) -> float:
    """How far all curves go."""
    return min(curve.costs[cost][-1] for curve in curves)


def grid(end: float, steps: int) -> list[float]:
    """Amounts at equal distances from 0 to `end`, which is the last of them to the last bit; 0 alone where it is 0.

    >>> grid(1.0, 4), grid(0.00184, 24)[-1], grid(0.0, 4)
    ([0.0, 0.25, 0.5, 0.75, 1.0], 0.00184, [0.0])
    """
    return [end * i / steps for i in range(steps)] + [end] if end else [0.0]


def at(costs: Sequence[float], cost: float) -> list[float]:
    """The weights of the rounds in what a curve is at `cost`. Where rounds cost nothing more, the last one counts.

    Raises: ValueError for a cost below 0 or beyond the last round.

    >>> at([0, 10, 30], 15)
    [0.0, 0.75, 0.25]
    """
    if not costs[0] <= cost <= costs[-1]:
        raise ValueError(f"{cost} is outside the curve, which goes from {costs[0]} to {costs[-1]}")
    weights = [0.0] * len(costs)
    before = bisect_right(costs, cost) - 1
    if before == len(costs) - 1:
        weights[before] = 1.0
    else:
        share = (cost - costs[before]) / (costs[before + 1] - costs[before])
        weights[before], weights[before + 1] = 1 - share, share
    return weights


def area(costs: Sequence[float], end: float) -> list[float]:
    """The weights of the rounds in the area under a curve from 0 to `end`, divided by `end`: a mean accuracy.

    Raises: ValueError for an end that is not above 0, or beyond the last round.

    >>> area([0, 10, 30], 10)
    [0.5, 0.5, 0.0]
    """
    if not 0 < end <= costs[-1]:
        raise ValueError(f"the end must lie above 0 and within {costs[-1]}, not at {end}")
    weights = [0.0] * len(costs)
    for k, (left, right) in enumerate(pairwise(costs)):
        width = min(right, end) - left
        if width > 0:
            share = width / (right - left)
            weights[k] += width / end * (1 - share / 2)
            weights[k + 1] += width / end * share / 2
    return weights


def accuracy_at(curves: Sequence[Curve], cost: str, amount: float) -> float:
    """The mean accuracy of the curves where each has spent `amount`."""
    return fmean(
        sum(w * a for w, a in zip(at(curve.costs[cost], amount), curve.accuracies, strict=True)) for curve in curves
    )


def reached(curves: Sequence[Curve], cost: str, accuracy: float) -> float | Reach:
    """What has been spent where the mean curve first comes to `accuracy`, within what all of them spent."""
    end = common_end(curves, cost)
    stops = sorted({amount for curve in curves for amount in curve.costs[cost] if amount <= end})
    before: tuple[float, float] | None = None
    for amount in stops:
        here = accuracy_at(curves, cost, amount)
        if here >= accuracy - _ROUNDING:
            if before is None or here - before[1] <= _ROUNDING:
                return amount
            share = (accuracy - before[1]) / (here - before[1])
            return before[0] + min(1.0, share) * (amount - before[0])
        before = amount, here
    return Reach.NEVER
