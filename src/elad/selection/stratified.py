"""Stratified: each part of the pool gets its share of the picks.

Evidence: proportional stratified sampling is textbook statistics; handing out the picks one by one as seats are by
Sainte-Lague, so that any first few of them are shared out fairly too, and the strata by length are ours [D].
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Literal, TypeAlias

from pydantic import ConfigDict

from elad.errors import ConfigError, nearest
from elad.records import Candidate
from elad.selection.pool import at_least, by_lot, rank

__all__ = ["Stratified"]

_Seen: TypeAlias = tuple[tuple[float, float], int, str]
"""Rank, length and stratum; rank and stratum only where they are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratified:
    """Ids from all strata in proportion to their sizes; within a stratum the most uncertain first, or by lot."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    column: str | None = None
    """A column of the data that is no field of ours: its values are the strata. None: strata by length."""
    strata: int = 4
    """How many there are by length of the question, in characters, all of one size."""
    within: Literal["score", "lot"] = "score"

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        at_least(1, strata=self.strata)

    @property
    def needs_scores(self) -> bool:
        """Whether it ranks by them within a stratum."""
        return self.within == "score"

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, stratum by stratum in turn; the order of the candidates does not matter.

        Edge cases: an allowance below 1 picks none. Questions without the column are a stratum of their own. Raises:
        ConfigError where no question has the column, ValueError for scores that are needed and missing or not finite.
        """
        if self.column is not None and candidates:
            self._refuse_unknown(candidates)
        seen = by_lot(candidates, rng, self._look)
        strata = self._by_column(seen) if self.column is not None else self._by_length(seen)
        rng.shuffle(strata)  # whose turn it is falls to the first of equals: not always to the shortest questions
        waiting = [sorted(stratum, key=lambda key: seen[key][0]) for stratum in strata]
        taken = [0] * len(waiting)
        picks: list[str] = []
        while len(picks) < min(allowance, len(seen)):
            open_ = [place for place, stratum in enumerate(waiting) if taken[place] < len(stratum)]
            place = max(open_, key=lambda place: len(waiting[place]) / (2 * taken[place] + 1))
            picks.append(waiting[place][taken[place]])
            taken[place] += 1
        return picks

    def _look(self, candidate: Candidate) -> _Seen:
        problem = candidate.problem
        ranked = rank(candidate, "stratified") if self.needs_scores else (0.0, 0.0)
        value = problem.metadata.get(self.column) if self.column is not None else None
        return ranked, len(problem.question), json.dumps(value, sort_keys=True, default=str)

    def _by_column(self, seen: dict[str, _Seen]) -> list[list[str]]:
        strata: dict[str, list[str]] = {}
        for key, (_, _, value) in seen.items():
            strata.setdefault(value, []).append(key)
        return list(strata.values())

    def _by_length(self, seen: dict[str, _Seen]) -> list[list[str]]:
        ids = sorted(seen, key=lambda key: seen[key][1])
        borders = [place * len(ids) // self.strata for place in range(self.strata + 1)]
        return [ids[start:end] for start, end in pairwise(borders)]

    def _refuse_unknown(self, candidates: Sequence[Candidate]) -> None:
        known: set[str] = set()
        for candidate in candidates:
            if self.column in candidate.problem.metadata:
                return
            known |= set(candidate.problem.metadata)
        raise ConfigError(f"selector.column: no question has {self.column!r}; {nearest(str(self.column), known)}")
