"""Value: stop where the next round is not worth its price, for all that the curve so far can tell.

A learning curve is fitted to the share of right held-out answers against what was spent: a + b * shape(spent / scale).

Evidence: that learning curves level off, and are fitted by curves that do, is general literature [S] (power laws:
Figueroa et al. 2012, Hestness et al. 2017), as is stopping by expected gain against cost. The two shapes, between which
power laws lie, the noise and the bound are ours [D].
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, isfinite, log1p, sqrt
from statistics import NormalDist, fmean
from typing import Literal, NamedTuple

from pydantic import ConfigDict

from elad.courses import Course, Ruling
from elad.errors import require

__all__ = ["Value"]

_LEVEL = 0.99
"""Of each curve; the highest of their bounds holds in 95 of 100 simulations and more (tests/unit/test_stopping.py)."""
_Z = NormalDist().inv_cdf(_LEVEL)
_SHAPES: tuple[tuple[Callable[[float], float], Sequence[float]], ...] = (
    (lambda x: 1 - exp(-x), [10 ** (i / 12) for i in range(-18, 13)]),
    (log1p, [10 ** (i / 12) for i in range(-24, 13)]),
    (float, [1.0]),
)
"""From what levels off fast to what hardly does, and the straight line; each with its scales, in parts of what was
spent so far."""


class _Fit(NamedTuple):
    """A curve by least squares; gains are those of the next round, as shares of right answers."""

    misfit: float
    """The sum of the squares that it leaves."""
    gain: float
    error: float
    """Of the gain, where the standard error of a round's accuracy is 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Stops where the upper bound of what the next round brings for its price is below `at_least`.

    The bound is that of every curve that the rounds do not contradict, each at 99 %, and of these the highest: after
    three rounds and more it errs in five of 100 simulated runs at most. It is asked again after each round, so that
    over a long run bad luck stops it more often than one bound errs; a curve that rises late only is none of those that
    it knows. Rounds that cost nothing are worth it.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    at_least: float
    """Points of held-out accuracy (one is one answer in a hundred) that a unit of money, or a question, must bring."""
    per: Literal["money", "question"]
    """What they are weighed against; where the teacher is free, only questions can be."""
    after: int = 3
    """It never stops before so many rounds; after two, luck in training hides what a curve does."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(isfinite(self.at_least) and self.at_least >= 0, "stopping.at_least", "at least 0", self.at_least)
        require(self.after >= 2, "stopping.after", "at least 2", self.after)

    @property
    def needs_scores(self) -> bool:
        """It looks at answers alone."""
        return False

    def __call__(self, course: Course) -> Ruling:
        rounds = course.rounds
        if len(rounds) <= self.after:
            return Ruling(stop=False, why=f"{self.after} rounds come first")
        spent = [one.money if self.per == "money" else float(one.questions) for one in rounds]
        if len(set(spent)) < 3:
            return Ruling(stop=False, why=f"hardly any {self.per} was spent that could be weighed")
        predicted, high = next_gain(spent, [one.right for one in rounds])
        unit = "unit of money" if self.per == "money" else "question"
        brings = f"the next round brings {100 * predicted:.3g} points a {unit} by the curve so far, {100 * high:.3g} at"
        return Ruling(stop=100 * high < self.at_least, why=f"{brings} most (95 %); {self.at_least:g} are asked for")


def next_gain(spent: Sequence[float], right: Sequence[Sequence[bool]]) -> tuple[float, float]:
    """What the next round adds to the share of right answers for each unit spent: by the best fit, and at most.

    K + 1 rounds of Q questions; `spent` never falls, and the next round costs what the K had cost on average.
    Raises: ValueError where fewer than three amounts differ.
    """
    if len(set(spent)) < 3:
        raise ValueError("a curve needs at least three different amounts")
    fits = list(_fits([amount - spent[0] for amount in spent], [fmean(row) for row in right]))
    best, variance = min(fits), _variance(right)
    if len(spent) > 3:  # what the best curve leaves beyond the luck of single answers is the luck of whole students
        variance = max(variance, best.misfit / (len(spent) - 3))
    bearable = [fit for fit in fits if fit.misfit <= best.misfit + _Z**2 * variance]
    price = (spent[-1] - spent[0]) / (len(spent) - 1)
    return best.gain / price, max(fit.gain + _Z * fit.error * sqrt(variance) for fit in bearable) / price


def _fits(spent: Sequence[float], accuracies: Sequence[float]) -> Iterator[_Fit]:
    """The best curve of each shape and scale."""
    middle = fmean(accuracies)
    parts = [amount / spent[-1] for amount in spent]
    parts.append(len(spent) / (len(spent) - 1))  # where the next round ends
    for shape, scales in _SHAPES:
        for scale in scales:
            *at, ahead = (shape(part / scale) for part in parts)
            centre = fmean(at)
            squares = sum((x - centre) ** 2 for x in at)
            slope = sum((x - centre) * (y - middle) for x, y in zip(at, accuracies, strict=True)) / squares
            misfit = sum((y - middle - slope * (x - centre)) ** 2 for x, y in zip(at, accuracies, strict=True))
            step = ahead - at[-1]
            yield _Fit(misfit=misfit, gain=step * slope, error=step / sqrt(squares))


def _variance(right: Sequence[Sequence[bool]]) -> float:
    """Of a round's accuracy, apart from what all rounds share because their questions are the same.

    Binomial noise where the answers of two rounds have nothing to do with each other, and less the more they agree. It
    is what is left of each answer beside the means of its question and its round, with one more change of an answer
    than were seen: students that agree in all that is asked are not proven to be the same.
    """
    by_round, by_question = [fmean(row) for row in right], [fmean(column) for column in zip(*right, strict=True)]
    mean = fmean(by_round)
    left = sum(
        (answer - one - other + mean) ** 2
        for row, one in zip(right, by_round, strict=True)
        for answer, other in zip(row, by_question, strict=True)
    )
    asked = len(by_question)
    return (left + 1) / (len(right) - 1) / max(1, asked - 1) / asked
