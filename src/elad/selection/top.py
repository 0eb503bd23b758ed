"""The most uncertain questions first, as in ELAD."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from random import Random

from elad.records import Candidate
from elad.selection.pool import rank

__all__ = ["Top"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """Ids with the highest aggregate score first.

    Ties go to the lower answer confidence, then to an order drawn once from `rng`.

    Source: selection by step uncertainty is told of ELAD by reviews [2]; that it is a plain top-k is
    reconstructed [R]; the breaking of ties is ours [D].
    """

    @property
    def needs_scores(self) -> bool:
        """True: it ranks by them."""
        return True

    @property
    def ranks(self) -> bool:
        """True: by the aggregate, before anything else."""
        return True

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, most uncertain first. The order of the candidates does not matter.

        Edge cases: an allowance below 1 picks none. Where several candidates share an id, the most
        uncertain of them counts.

        Raises: ValueError when a candidate has no scores, or one that is not finite.
        """
        lots = sorted({candidate.problem.id for candidate in candidates})
        rng.shuffle(lots)
        place = {id: index for index, id in enumerate(lots)}
        count = max(allowance, 0)
        enough = count + len(candidates) - len(lots)  # every second chain of a problem may stand before a first one
        ranks = nsmallest(enough, ((*rank(candidate, "top"), place[candidate.problem.id]) for candidate in candidates))
        return list(dict.fromkeys(lots[index] for _, _, index in ranks))[:count]
