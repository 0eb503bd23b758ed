"""Questions as points: how far apart they lie, and how points are drawn that lie apart.

Embeddings of a language model all point much the same way: what tells questions apart is how they differ from the
middle of the pool. So they are centred on it, and only their direction from there counts. Source: ours [D].
"""

from array import array
from collections.abc import Iterable, Sequence
from math import dist, fsum, hypot, isfinite
from random import Random
from typing import TypeAlias

from elad.records import Candidate, Past

Vector: TypeAlias = Sequence[float]

_TURNS = 10
"""Of Lloyd's algorithm, at most: it settles in fewer, or gains little."""


def embedding(candidate: Candidate | Past, kind: str) -> Vector:
    """A question's embedding, in single precision: a pool of them is held.

    Raises: ValueError naming the selector's kind where there is none, or it is not finite.
    """
    found = candidate.embedding
    if found is None:
        raise ValueError(f"{candidate.problem.id}: the selector `{kind}` needs embeddings, and there are none")
    vector = array("f", found)
    if not all(map(isfinite, vector)):
        raise ValueError(f"{candidate.problem.id}: embeddings must be finite")
    return vector


def directions(vectors: Sequence[Vector]) -> list[Vector]:
    """Unit vectors from the middle of them all; zeros where one lies in the middle.

    Raises: ValueError where they are not of one length.
    """
    if len({len(vector) for vector in vectors}) > 1:
        raise ValueError("embeddings must be of one length")
    middle = [fsum(column) / len(vectors) for column in zip(*vectors, strict=True)]
    return [_unit(vector, middle) for vector in vectors]


def spread(points: Sequence[Vector], count: int, rng: Random, start: int) -> list[int]:
    """Places of `count` points by the seeding of k-means++ (Arthur and Vassilvitskii, 2007), `start` the first.

    Each next one is drawn in proportion to its squared distance from the nearest one drawn so far. Where all that
    are left lie on points drawn so far, they follow in their order.
    """
    drawn = [start] if count else []
    apart = squares(points[start], points) if count else []
    while len(drawn) < count:
        left = [place for place, far in enumerate(apart) if far > 0]
        if not left:
            known = set(drawn)
            return (drawn + [place for place in range(len(points)) if place not in known])[:count]
        place = rng.choices(left, [apart[place] for place in left])[0]
        drawn.append(place)
        apart = list(map(min, apart, squares(points[place], points)))
    return drawn


def clusters(points: Sequence[Vector], count: int, rng: Random) -> list[list[int]]:
    """The places of the points by cluster, the largest cluster first: k-means of `count` centres, seeded by `spread`.

    Edges: there are fewer where points lie on one another; none where there are no points.
    """
    centres: list[Vector] = [tuple(points[place]) for place in spread(points, min(count, len(points)), rng, 0)]
    found: list[list[int]] = []
    for _ in range(_TURNS):
        before, found = found, [list[int]() for _ in centres]
        for place, point in enumerate(points):
            apart = squares(point, centres)
            found[apart.index(min(apart))].append(place)
        if found == before:
            break
        centres = [mean(points, cluster) if cluster else old for cluster, old in zip(found, centres, strict=True)]
    return sorted(filter(None, found), key=lambda cluster: -len(cluster))


def mean(points: Sequence[Vector], places: Sequence[int]) -> Vector:
    """The middle of some of the points."""
    return tuple(sum(column) / len(places) for column in zip(*(points[place] for place in places), strict=True))


def squares(here: Vector, points: Iterable[Vector]) -> list[float]:
    """The squared distance of each point from one."""
    here = tuple(here)  # made once: `dist` makes one of whatever else it is given
    return [dist(here, point) ** 2 for point in points]


def _unit(vector: Vector, middle: Vector) -> Vector:
    away = [value - mean for value, mean in zip(vector, middle, strict=True)]
    length = hypot(*away)
    # What is left of rounding has a direction too, and it means nothing.
    meant = length > 1e-6 * (hypot(*middle) + 1e-30)
    return array("f", [value / length for value in away] if meant else [0.0] * len(away))
