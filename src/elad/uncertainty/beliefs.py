"""What a student believes the answer to be: distributions, and how far two of them are apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2, sqrt
from typing import Any, TypeAlias

from elad.records import Chain, Problem
from elad.tasks.chains import body

Belief: TypeAlias = Mapping[str | None, float]
"""Probability of each answer, adding up to 1. None is one class: conclusions that cannot be read."""

Draft: TypeAlias = tuple[Problem, Chain]

_BRIEF_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one measure says of one chain."""

    values: tuple[float, ...]
    """Per scored step, 0..1, 1 the most uncertain."""
    confidence: float
    """How much of the student's own belief is in the chain's answer, 0..1; 0 without an answer."""
    detail: Mapping[str, Any]


def scored(chain: Chain) -> int:
    """How many steps of a chain are scored: those up to and including its conclusion.

    A conclusion that says the same once more explains nothing: it would only dilute the score. A
    chain that does not conclude is scored as a whole. Source: ours [D].
    """
    return min(body(chain) + 1, len(chain.steps))


def brief(answer: str | None) -> str | None:
    """The answer as it is kept in a score's detail: cut to 80 characters."""
    return None if answer is None else answer[:_BRIEF_CHARS]


def certain(answer: str | None) -> Belief:
    """The belief that is all on one answer."""
    return {answer: 1.0}


def likeliest(belief: Belief) -> str | None:
    """The answer with the highest probability, the earliest of equals."""
    return max(belief, key=lambda answer: belief[answer])


def distance(first: Belief, second: Belief) -> float:
    """Jensen-Shannon distance: the square root of the divergence in bits, so that it lies in 0..1.

    >>> distance({"5": 1.0}, {"7": 1.0}), distance({"5": 1.0}, {"5": 1.0})
    (1.0, 0.0)
    """
    divergence = 0.0
    for answer in {**first, **second}:
        p, q = first.get(answer, 0.0), second.get(answer, 0.0)
        divergence += sum(part * log2(2 * part / (p + q)) for part in (p, q) if part > 0) / 2
    return sqrt(min(max(divergence, 0.0), 1.0))


def unified(beliefs: Sequence[Belief], answer: str | None, same: Callable[[str, str], bool]) -> list[Belief]:
    """The beliefs with answers of one meaning under one key, so that keys can be compared.

    The form of `answer`, the chain's own, comes before all others.
    """
    known: list[str] = [] if answer is None else [answer]

    def form(raw: str | None) -> str | None:
        if raw is None:
            return None
        for other in known:
            if raw == other or same(raw, other):
                return other
        known.append(raw)
        return raw

    result: list[Belief] = []
    for belief in beliefs:
        merged: dict[str | None, float] = {}
        for raw, share in belief.items():
            key = form(raw)
            merged[key] = merged.get(key, 0.0) + share
        result.append(merged)
    return result
