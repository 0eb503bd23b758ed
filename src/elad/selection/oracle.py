"""Oracle: the questions that the student gets wrong, by their gold answers. For analysis alone.

Evidence: ours [D]: how well could a selector do that knew which answers are wrong? It is not an upper bound: most wrong
is not most worth teaching. Its rows are bought with knowledge that nobody has who needs a teacher.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from pydantic import ConfigDict

from elad.errors import ConfigError, RefusedError
from elad.records import Candidate
from elad.selection.pool import by_lot, first
from elad.tasks.families import task_of

__all__ = ["Oracle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """Ids of questions whose chain ends wrong, or not at all, by lot; then the others by lot."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    analysis: bool = False
    """Says that the run is for analysis alone; without it nothing runs."""

    def __post_init__(self) -> None:
        """Raises: RefusedError where nobody said that this is for analysis."""
        if not self.analysis:
            told = "picks by the gold answers, which is for analysis alone; say `analysis: true` beside it"
            raise RefusedError(f"selector.kind: `oracle` {told}")

    @property
    def needs_scores(self) -> bool:
        """False: it knows better."""
        return False

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        """Ids, wrong ones first; the order of the candidates does not matter.

        Edge cases: an allowance below 1 picks none. Raises: ConfigError for a question without a gold answer.
        """
        seen = by_lot(candidates, rng, _right)
        return first(sorted(seen, key=lambda key: seen[key]), allowance)


def _right(candidate: Candidate) -> bool:
    problem = candidate.problem
    if problem.answer is None:
        raise ConfigError(f"selector.kind: `oracle` needs gold answers, and {problem.id!r} has none")
    return task_of(problem, problem.answer).same(candidate.chain.answer, problem.answer, problem)
