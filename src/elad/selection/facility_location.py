"""Facility location: questions that stand for the uncertain part of the pool.

Evidence: greedy maximisation of facility location, here weighted by the score, for batches that are informative and
representative (Wei, Iyer and Bilmes, 2015; from memory) [R]; the similarity and the weights are ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from random import Random

from pydantic import ConfigDict

from elad.records import Candidate
from elad.selection.encoder import Encoder
from elad.selection.geometry import Vector, directions, embedding, squared
from elad.selection.pool import at_least, by_lot, weighted

__all__ = ["FacilityLocation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FacilityLocation:
    """Ids that add most to the sum, over all questions, of score x similarity to the most similar one picked."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    encoder: Encoder = field(default_factory=Encoder)
    most: int = 2000
    """Only so many are looked at, the most uncertain: the time grows with their square."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        at_least(1, most=self.most)

    @property
    def needs_scores(self) -> bool:
        """True: they are the weights."""
        return True

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, the one that adds most first; the order of the candidates does not matter.

        Edge cases: an allowance below 1 picks none, one above `most` looks at as many as it picks. Of what adds the
        same, as do all questions where all scores are 0, the more uncertain comes first, then by lot. Raises:
        ValueError for scores that are missing, not finite or below 0, and for embeddings that are missing, not finite
        or not of one length.
        """
        kind = "facility_location"
        seen = by_lot(candidates, rng, lambda candidate: (weighted(candidate, kind), embedding(candidate, kind)))
        ids = sorted(seen, key=lambda key: seen[key][0])[: max(self.most, allowance)]
        points = [tuple(unit) for unit in directions([seen[key][1] for key in ids])]
        places = _greedy(points, [-seen[key][0][0] for key in ids], min(max(allowance, 0), len(ids)))
        return [ids[place] for place in places]


def _greedy(points: Sequence[Vector], weights: Sequence[float], count: int) -> list[int]:
    """The places that add most, one by one.

    What a place adds only becomes less as others are picked, so that it is reckoned anew only where its last value
    is the largest.
    """
    covered = [0.0] * len(points)
    queue = [(-_gain(points, weights, covered, place), place, 0) for place in range(len(points))] if count else []
    heapify(queue)
    picks: list[int] = []
    while len(picks) < count:
        _, place, known = queue[0]
        if known < len(picks):
            heapreplace(queue, (-_gain(points, weights, covered, place), place, len(picks)))
            continue
        picks.append(place)
        covered = [max(one, _alike(points[place], point)) for one, point in zip(covered, points, strict=True)]
        heapreplace(queue, (1.0, place, count))  # behind all that may still be picked
    return picks


def _gain(points: Sequence[Vector], weights: Sequence[float], covered: Sequence[float], place: int) -> float:
    here = points[place]
    return sum(
        weight * max(0.0, _alike(here, point) - one)
        for weight, point, one in zip(weights, points, covered, strict=True)
    )


def _alike(first: Vector, second: Vector) -> float:
    """(1 + cosine) / 2 of two unit vectors, 0..1."""
    return 1 - squared(first, second) / 4
