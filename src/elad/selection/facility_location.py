"""Facility location: questions that stand for the uncertain part of the pool.

Evidence: greedy maximisation of facility location, here weighted by the score, for batches that are informative and
representative (Wei, Iyer and Bilmes, 2015; from memory) [R]; the similarity and the weights are ours [D].
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from random import Random

from pydantic import ConfigDict

from elad.records import Candidate
from elad.selection.encoder import Encoder
from elad.selection.geometry import Vector, directions, embedding, squares
from elad.selection.pool import at_least, by_lot, weighted

__all__ = ["FacilityLocation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FacilityLocation:
    """Ids that add most to the sum, over all questions, of score x similarity to the most similar one picked."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    encoder: Encoder = field(default_factory=Encoder)
    most: int = 1000
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
        units = directions([seen[key][1] for key in ids])
        places = greedy(units, [-seen[key][0][0] for key in ids], min(max(allowance, 0), len(ids)))
        return [ids[place] for place in places]


def greedy(points: Sequence[Vector], weights: Sequence[float], count: int) -> list[int]:
    """The places of unit vectors that add most, one by one.

    What a place adds only becomes less as others are picked, so that it is reckoned anew only where its last value
    is the largest.
    """
    covered = [0.0] * len(points)
    alike = [array("f", likeness(point, points)) for point in points] if count else []
    queue = [(-_gain(row, weights, covered), place, 0) for place, row in enumerate(alike)]
    heapify(queue)
    picks: list[int] = []
    while len(picks) < count:
        _, place, known = queue[0]
        if known < len(picks):
            heapreplace(queue, (-_gain(alike[place], weights, covered), place, len(picks)))
            continue
        picks.append(place)
        covered = list(map(max, covered, alike[place]))
        heappop(queue)
    return picks


def likeness(here: Vector, points: Sequence[Vector]) -> list[float]:
    """(1 + cosine) / 2 of unit vectors with one of them, 0..1."""
    return [1 - far / 4 for far in squares(here, points)]


def _gain(alike: Sequence[float], weights: Sequence[float], covered: Sequence[float]) -> float:
    return sum(
        weight * (now - before) for weight, now, before in zip(weights, alike, covered, strict=True) if now > before
    )
