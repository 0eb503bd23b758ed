"""Bands around a mean learning curve, by the bootstrap over seeds and questions."""

from collections.abc import Sequence
from random import Random

from elad.evaluation.curves import Curve, at
from elad.evaluation.intervals import quantile

_FIELD = 32
"""Bits of a count: several fit one integer, so that drawing the questions adds all rounds of all runs up at once."""


def bands(
    curves: Sequence[Curve],
    cost: str,
    amounts: Sequence[float],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 1000,
) -> list[tuple[float, float]]:
    """For each amount spent, the band of the mean accuracy as (low, high): percentiles of the resamples.

    Seeds are drawn with replacement, then questions, the same ones for every drawn seed, because all seeds answered
    the same. Two arms are paired by giving both the same `seed`. One seed alone leaves the questions to be drawn.
    With few seeds that differ much the band is too narrow, as a bootstrap over few things is: it shows, and the
    intervals of `paired` decide.
    """
    questions = len(curves[0].right[0])
    counts = _packed(curves, questions)
    weights = [[_few(at(curve.costs[cost], amount)) for amount in amounts] for curve in curves]
    places = [sum(len(curve.right) for curve in curves[:i]) for i in range(len(curves))]
    rng = Random(seed)
    resampled: list[list[float]] = [[] for _ in amounts]
    for _ in range(resamples):
        drawn = rng.choices(range(len(curves)), k=len(curves))
        total = sum(rng.choices(counts, k=questions))
        right = [total >> _FIELD * i & (1 << _FIELD) - 1 for i in range(sum(len(curve.right) for curve in curves))]
        for i, values in enumerate(resampled):
            got = sum(weight * right[places[s] + k] for s in drawn for k, weight in weights[s][i])
            values.append(got / (questions * len(curves)))
    tail = (1 - level) / 2
    return [(quantile(values, tail), quantile(values, 1 - tail)) for values in map(sorted, resampled)]


def _packed(curves: Sequence[Curve], questions: int) -> list[int]:
    """For each question, 1 or 0 for every round of every run, side by side in one integer."""
    rows = [row for curve in curves for row in curve.right]
    return [sum(row[q] << _FIELD * i for i, row in enumerate(rows)) for q in range(questions)]


def _few(weights: Sequence[float]) -> list[tuple[int, float]]:
    return [(k, weight) for k, weight in enumerate(weights) if weight]
