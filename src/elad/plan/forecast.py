"""From what single questions cost to what a run will: a simulation in which everything uncertain is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from random import Random

from elad.evaluation.intervals import quantile
from elad.ledger.prices import Price
from elad.records import Charge

DRAWS = 500
ENOUGH_SEEN = 20
"""Revisions of earlier runs from which on nothing is guessed."""
_MOST_DRAWN = 100
"""Questions summed in one draw; more are scaled up, which errs to the wide side."""
_GUESSED_IN = 0.15
"""Spread of the logarithm of tokens in, while they are estimated from bytes."""
_GUESSED_OUT = 0.4
"""The same of tokens out, whose length nobody has seen yet."""
_CLUMSIEST = 0.6
"""The largest share of questions that may need the calls of a teacher that does badly."""
_CALL_SECONDS = (0.5, 6.0)
"""One call to a teacher that was never timed."""
_BATCH_SECONDS = (300.0, 86_400.0)
"""One batch: seldom done in minutes, always within a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Quantiles of what may come."""

    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Costs of single questions, without money: rehearsed twice, and seen in earlier runs."""

    good: Sequence[Charge]
    clumsy: Sequence[Charge]
    seen: Sequence[Charge] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms the teacher is asked."""

    price: Price | None
    concurrency: int = 1
    rounds: int = 1
    batch: bool = False
    """By the batch: at its discount, and each wave of a round's questions waits for the batch before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the teacher takes for some questions, with an 80 % range for each figure."""

    questions: int
    calls: Range
    tokens_in: Range
    tokens_out: Range
    money: Range
    seconds: Range
    """Of waiting for the teacher; the student's own time is not in it."""


def forecast(evidence: Evidence, questions: int, terms: Terms, seed: int = 0) -> Forecast:
    """Simulates the purchase many times; each time with its own questions, tokens a byte, luck and pace.

    How many requests the endpoint bears at once is not known before: anything from one to `concurrency`. A batch may
    take minutes or a day, and a round takes as many as its longest question has calls.
    Edge cases: no questions cost nothing; without a price money is 0.
    Raises: ValueError without a question that was rehearsed or seen.
    """
    known = len(evidence.seen) >= ENOUGH_SEEN
    if not known and not evidence.good:
        raise ValueError("a forecast needs a question that was rehearsed or bought")
    rng = Random(seed)
    draws = [(_seen if known else _rehearsed)(evidence, questions, rng) for _ in range(DRAWS)]
    return Forecast(
        questions=questions,
        calls=_range([one.calls for one in draws]),
        tokens_in=_range([one.tokens_in for one in draws]),
        tokens_out=_range([one.tokens_out for one in draws]),
        money=_range([one.money(terms) for one in draws]),
        seconds=_range([one.waiting(terms, rng) for one in draws]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draw:
    calls: float
    tokens_in: float
    tokens_cached: float
    tokens_out: float
    seconds: float
    """Of all calls, one after the other; 0 where none was timed."""
    deepest: int
    """Calls of the question that took most."""

    def money(self, terms: Terms) -> float:
        if terms.price is None:
            return 0.0
        return terms.price.money(
            tokens_in=round(self.tokens_in),
            tokens_cached=round(self.tokens_cached),
            tokens_out=round(self.tokens_out),
            batch=terms.batch,
        )

    def waiting(self, terms: Terms, rng: Random) -> float:
        if terms.batch:
            return terms.rounds * self.deepest * _log_uniform(rng, *_BATCH_SECONDS)
        seconds = self.seconds or self.calls * _log_uniform(rng, *_CALL_SECONDS)
        return seconds / _log_uniform(rng, 1.0, terms.concurrency)


def _seen(evidence: Evidence, questions: int, rng: Random) -> _Draw:
    """Questions out of a resample of those seen, so that few seen ones make a wide range."""
    resample = rng.choices(evidence.seen, k=len(evidence.seen))
    return _sum(rng.choices(resample, k=min(questions, _MOST_DRAWN)), questions)


def _rehearsed(evidence: Evidence, questions: int, rng: Random) -> _Draw:
    share = rng.uniform(0, _CLUMSIEST)
    places = rng.choices(range(len(evidence.good)), k=min(questions, _MOST_DRAWN))
    drawn = _sum([evidence.clumsy[i] if rng.random() < share else evidence.good[i] for i in places], questions)
    return _Draw(
        calls=drawn.calls,
        tokens_in=drawn.tokens_in * exp(rng.gauss(0, _GUESSED_IN)),
        tokens_cached=0.0,
        tokens_out=drawn.tokens_out * exp(rng.gauss(0, _GUESSED_OUT)),
        seconds=0.0,
        deepest=drawn.deepest,
    )


def _sum(charges: Sequence[Charge], questions: int) -> _Draw:
    scale = questions / len(charges) if charges else 0.0
    return _Draw(
        calls=scale * sum(charge.calls for charge in charges),
        tokens_in=scale * sum(charge.tokens_in for charge in charges),
        tokens_cached=scale * sum(charge.tokens_cached for charge in charges),
        tokens_out=scale * sum(charge.tokens_out for charge in charges),
        seconds=scale * sum(charge.seconds for charge in charges),
        deepest=max((charge.calls for charge in charges), default=0),
    )


def _log_uniform(rng: Random, low: float, high: float) -> float:
    return exp(rng.uniform(log(low), log(high)))


def _range(values: Sequence[float]) -> Range:
    ordered = sorted(values)
    return Range(p10=quantile(ordered, 0.1), p50=quantile(ordered, 0.5), p90=quantile(ordered, 0.9))
