"""From what single questions cost to what a run will: a simulation in which everything uncertain is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
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
_GUESSED_OUT = 0.4
"""Spread of the logarithm of the replies' length, which nobody has seen yet."""
_CALL_SECONDS = (0.5, 6.0)
"""One call to a teacher that was never timed."""
_BATCH_SECONDS = (300.0, 86_400.0)
"""One batch: seldom done in minutes, always within a day."""


class Counted(Enum):
    """What the tokens of a rehearsal were counted by: bounds of the true number as a share of the counted one."""

    TEACHER = (0.95, 1.05)
    """The teacher's tokenizer and chat template; an endpoint may still put words of its own before a prompt."""
    STUDENT = (0.7, 1.2)
    """The student's: that of a larger model mostly has a larger vocabulary, and so makes fewer tokens."""
    BYTES = (0.56, 1.4)
    """Three bytes a token, where real text has 2.6 to 4.8 (`estimate_tokens`), and no frame around a message."""


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
    counted: Counted = Counted.BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms the teacher is asked."""

    price: Price | None
    concurrency: int = 1
    """0: it works in this process, and nobody waits for it."""
    rounds: int = 1
    batch: bool | None = False
    """By the batch: at its discount, and each wave of a round's questions waits for the batch before it. None: that
    is found out when the endpoint is first asked, so it may be either."""


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
    take minutes or a day, and a round takes as many as its longest question has calls. Errs to the wide side.
    Edge cases: no questions cost nothing; without a price money is 0.
    Raises: ValueError without a question that was rehearsed or seen.
    """
    known = len(evidence.seen) >= ENOUGH_SEEN
    if not known and not evidence.good:
        raise ValueError("a forecast needs a question that was rehearsed or bought")
    rng = Random(seed)
    draws = [(_seen if known else _rehearsed)(evidence, questions, rng) for _ in range(DRAWS)]
    ways = [rng.random() < 0.5 if terms.batch is None else terms.batch for _ in draws]
    return Forecast(
        questions=questions,
        calls=_range([one.calls for one in draws]),
        tokens_in=_range([one.tokens_in for one in draws]),
        tokens_out=_range([one.tokens_out for one in draws]),
        money=_range([one.money(terms, batch=batch) for one, batch in zip(draws, ways, strict=True)]),
        seconds=_range([one.waiting(terms, rng, batch=batch) for one, batch in zip(draws, ways, strict=True)]),
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

    def money(self, terms: Terms, *, batch: bool) -> float:
        if terms.price is None:
            return 0.0
        price = terms.price.at(round(self.tokens_in / max(self.calls, 1)))
        return price.money(
            tokens_in=round(self.tokens_in),
            tokens_cached=round(self.tokens_cached),
            tokens_out=round(self.tokens_out),
            batch=batch,
        )

    def waiting(self, terms: Terms, rng: Random, *, batch: bool) -> float:
        if batch:
            return terms.rounds * self.deepest * _log_uniform(rng, *_BATCH_SECONDS)
        if not terms.concurrency:
            return self.seconds
        seconds = self.seconds or self.calls * _log_uniform(rng, *_CALL_SECONDS)
        return seconds / _log_uniform(rng, 1.0, terms.concurrency)


def _seen(evidence: Evidence, questions: int, rng: Random) -> _Draw:
    """Questions out of a resample of those seen, so that few seen ones make a wide range."""
    resample = rng.choices(evidence.seen, k=len(evidence.seen))
    return _sum(rng.choices(resample, k=min(questions, _MOST_DRAWN)), questions)


def _rehearsed(evidence: Evidence, questions: int, rng: Random) -> _Draw:
    """Questions out of the pool at large, or such as cost more or less; any share of them may go badly.

    A selector picks those that the student is unsure of, and what a student has learnt needs no repair.
    """
    clumsy, pull = rng.random(), rng.uniform(-1, 1)
    true = _log_uniform(rng, *evidence.counted.value)
    pick = max if pull > 0 else min

    def one() -> Charge:
        place = rng.randrange(len(evidence.good))
        return evidence.clumsy[place] if rng.random() < clumsy else evidence.good[place]

    charges = [
        pick(one(), one(), key=_size) if rng.random() < abs(pull) else one() for _ in range(min(questions, _MOST_DRAWN))
    ]
    drawn = _sum(charges, questions)
    return _Draw(
        calls=drawn.calls,
        tokens_in=drawn.tokens_in * true,
        tokens_cached=0.0,
        tokens_out=drawn.tokens_out * true * exp(rng.gauss(0, _GUESSED_OUT)),
        seconds=0.0,
        deepest=drawn.deepest,
    )


def _size(charge: Charge) -> tuple[int, int]:
    return charge.calls, charge.tokens_in


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
