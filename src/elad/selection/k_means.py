"""k-means: one question from the middle of each part of the pool.

Evidence: clustering the pool into as many parts as may be picked and taking what lies nearest to each centre is a
common baseline of active learning [R]. The seeding is that of k-means++ (Arthur and Vassilvitskii, 2007); the order of
the picks is ours [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from pydantic import ConfigDict

from elad.records import Candidate
from elad.selection.encoder import Encoder
from elad.selection.geometry import Vector, clusters, directions, embedding, mean, squares
from elad.selection.pool import by_lot

__all__ = ["KMeans"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KMeans:
    """Ids of the questions nearest to the centres of as many clusters as may be picked, the largest cluster first."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    encoder: Encoder = field(default_factory=Encoder)

    @property
    def needs_scores(self) -> bool:
        """False: only where questions lie counts."""
        return False

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, one for each cluster; the order of the candidates does not matter.

        Edge cases: an allowance below 1 picks none. Where there are fewer clusters than picks, as in a pool of fewer
        questions or of many that lie on one another, the rest follows in the order by lot. Raises: ValueError for
        embeddings that are missing, not finite or not of one length.
        """
        seen = by_lot(candidates, rng, lambda candidate: embedding(candidate, "k_means"))
        ids, points = list(seen), directions(list(seen.values()))
        count = min(max(allowance, 0), len(ids))
        if count in (0, len(ids)):
            return ids[:count]
        picks = [ids[_middle(points, cluster)] for cluster in clusters(points, count, rng)]
        return list(dict.fromkeys([*picks, *ids]))[:count]


def _middle(points: Sequence[Vector], cluster: Sequence[int]) -> int:
    """The place that is nearest to the mean of a cluster."""
    apart = squares(mean(points, cluster), (points[place] for place in cluster))
    return cluster[apart.index(min(apart))]
