"""Learning curves by simulation: the accuracy of each arm is known exactly, and seeds and questions vary as told."""

from collections.abc import Sequence
from math import ceil, exp, sqrt
from random import Random
from statistics import NormalDist

from elad.evaluation.curves import Curve

_NORMAL = NormalDist()
ROUNDS, STEP = 5, 30


def true_accuracy(spent: float, pace: float = 1.0) -> float:
    """What all curves follow: an arm of pace 2 is where another is that has spent twice as much."""
    return 0.15 + 0.45 * (1 - exp(-spent * pace / 60))


def questions(rng: Random, count: int) -> list[float]:
    """How easy each question is, for all runs alike."""
    return [rng.gauss(0, 1) for _ in range(count)]


def simulated(rng: Random, easy: list[float], *, seeds: int, pace: float = 1.0, luck: float = 0.0) -> list[Curve]:
    """The runs of one arm of that pace."""
    truth = [true_accuracy(number * STEP, pace) for number in range(ROUNDS)]
    return drawn(rng, easy, truth, seeds=seeds, luck=luck)


def drawn(
    rng: Random, easy: list[float], truth: Sequence[float], *, seeds: int, luck: float = 0.0, unrest: float = 0.0
) -> list[Curve]:
    """The runs of an arm that has these accuracies in truth, round by round.

    `luck` is the share of the variance that belongs to a seed, `unrest` to each round of a seed, both from round 1 on.
    """
    curves: list[Curve] = []
    for seed in range(seeds):
        lucky = rng.gauss(0, 1)
        own = [rng.gauss(0, 1) for _ in easy]
        rows: list[tuple[bool, ...]] = []
        for number, accuracy in enumerate(truth):
            restless = rng.gauss(0, 1) if number and unrest else 0.0
            shift = (sqrt(luck) * lucky if number else 0.0) + sqrt(unrest) * restless
            rest = sqrt((0.6 - (luck + unrest if number else 0.0)) / 2)
            cut = _NORMAL.inv_cdf(accuracy)
            rows.append(
                tuple(
                    sqrt(0.4) * one + shift + rest * mine + rest * rng.gauss(0, 1) < cut
                    for one, mine in zip(easy, own, strict=True)
                )
            )
        costs = tuple(float(number * STEP) for number in range(len(truth)))
        curves.append(Curve(seed=seed, costs={"tokens": costs}, right=tuple(rows)))
    return curves


def plain(costs: list[float], right: list[list[bool]], seed: int = 0) -> Curve:
    """A curve as it is told."""
    return Curve(seed=seed, costs={"tokens": tuple(costs)}, right=tuple(tuple(row) for row in right))


def most_misses(times: int, rate: float = 0.025) -> int:
    """How many misses lie within three binomial standard errors of so many at that rate: 999 of 1,000 times or more."""
    return int(times * rate + 3 * sqrt(times * rate * (1 - rate)))


def least_misses(times: int, rate: float) -> int:
    """As few misses as that rate leads to, to the other side: an interval that misses less often is too wide."""
    return ceil(times * rate - 3 * sqrt(times * rate * (1 - rate)))
