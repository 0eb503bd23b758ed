"""What selectors have in common: one look at each candidate, an order by lot, and checks of what they look at."""

from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from random import Random
from typing import Any, TypeVar

from elad.errors import require
from elad.records import Candidate, Past

T = TypeVar("T", bound=Any)


def by_lot(candidates: Iterable[Candidate], rng: Random, look: Callable[[Candidate], T]) -> dict[str, T]:
    """What there is to see of each candidate, by id, in an order drawn once from `rng`.

    Candidates are looked at once and not held. Where several share an id, the least of what is seen counts. The
    order of the candidates does not matter.
    """
    seen: dict[str, T] = {}
    for candidate in candidates:
        key, one = candidate.problem.id, look(candidate)
        seen[key] = min(seen[key], one) if key in seen else one
    lots = sorted(seen)
    rng.shuffle(lots)
    return {key: seen[key] for key in lots}


def rank(candidate: Candidate, kind: str) -> tuple[float, float]:
    """What sorts the most uncertain candidate first, of equals the one with the lower answer confidence.

    Raises: ValueError naming the selector's kind where there are no scores, or they are not finite.
    """
    scores = candidate.scores
    if scores is None:
        raise ValueError(f"{candidate.problem.id}: the selector `{kind}` needs scores, and there are none")
    if not (isfinite(scores.aggregate) and isfinite(scores.confidence)):
        raise ValueError(f"{candidate.problem.id}: scores must be finite, not {scores.aggregate} ({scores.confidence})")
    return -scores.aggregate, scores.confidence


def weighted(candidate: Candidate, kind: str) -> tuple[float, float]:
    """As `rank`, for selectors that weigh by the score. Raises: ValueError also for one below 0."""
    found = rank(candidate, kind)
    if found[0] > 0:
        raise ValueError(f"{candidate.problem.id}: the selector `{kind}` needs scores of at least 0, not {-found[0]}")
    return found


def first(ids: Sequence[str], allowance: int) -> list[str]:
    """The ids that the allowance bears; none where it is below 1."""
    return list(ids[: max(allowance, 0)])


def paid(past: Sequence[Past]) -> list[float]:
    """What each question cost: money, or output tokens of the teacher where nothing has cost any money."""
    in_money = any(one.charge.money for one in past)
    return [one.charge.money if in_money else one.charge.tokens_out for one in past]


def at_least(least: int, **settings: int) -> None:
    """Nothing where each of a selector's settings is `least` or more. Raises: ConfigError naming the key."""
    for key, value in settings.items():
        require(value >= least, f"selector.{key}", f"at least {least}", value)
