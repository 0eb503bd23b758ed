"""Uncertain questions that lie apart, drawn as BADGE draws its batches.

Evidence: seeding k-means++ on embeddings whose length is the uncertainty and whose direction is the content is BADGE
(Ash et al., 2020, arXiv 1906.03671) [S]. There they are gradients of the last layer for the likeliest label; here the
direction is the question's embedding and the length its score, since no single label stands for an explanation [D].
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from pydantic import ConfigDict

from elad.records import Candidate
from elad.selection.encoder import Encoder
from elad.selection.geometry import Vector, directions, embedding, spread
from elad.selection.pool import by_lot, weighted

__all__ = ["Badge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """Ids drawn one by one, in proportion to the squared distance from those before, distances scaled by the scores.

    The first is the most uncertain one.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    encoder: Encoder = field(default_factory=Encoder)

    @property
    def needs_scores(self) -> bool:
        """True: they are the lengths."""
        return True

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, in the order in which they were drawn; the order of the candidates does not matter.

        Edge cases: an allowance below 1 picks none. What lies on one another, as do all questions with a score of 0,
        follows in the order of the scores, then of the confidences, then by lot. Raises: ValueError for scores that
        are missing, not finite or below 0, and for embeddings that are missing, not finite or not of one length.
        """
        seen = by_lot(candidates, rng, lambda candidate: (weighted(candidate, "badge"), embedding(candidate, "badge")))
        ids = sorted(seen, key=lambda key: seen[key][0])
        units = directions([seen[key][1] for key in ids])
        points: list[Vector] = [
            array("f", [-seen[key][0][0] * value for value in unit]) for key, unit in zip(ids, units, strict=True)
        ]
        count = min(max(allowance, 0), len(ids))
        return [ids[place] for place in spread(points, count, rng, 0)]
