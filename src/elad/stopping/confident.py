"""Confident: stop where the student is sure of the questions that are left.

Evidence: stopping where the greatest uncertainty of the pool is below a threshold is general literature [S] (Zhu, Wang
and Hovy 2008, of classifiers). The score in place of an entropy, and the share, are ours [D].
"""

from dataclasses import dataclass

from pydantic import ConfigDict

from elad.courses import Course, Ruling
from elad.errors import require

__all__ = ["Confident"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confident:
    """Stops where the scores of the questions that are left, by the newest student, are below `below`.

    A student may be sure and wrong. With a prefilter, only what it lets through has scores.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    below: float
    """A score of a question, 0..1. What is low differs between kinds of uncertainty."""
    share: float = 1.0
    """Of the questions, how many must be below it: one that the student never concludes on stays uncertain for good."""
    after: int = 1
    """It never stops before so many rounds."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        for key in ("below", "share"):
            value = getattr(self, key)
            require(0 < value <= 1, f"stopping.{key}", "above 0 and at most 1", value)
        require(self.after >= 1, "stopping.after", "at least 1", self.after)

    @property
    def needs_scores(self) -> bool:
        """It looks at nothing else."""
        return True

    def __call__(self, course: Course) -> Ruling:
        """Raises: ValueError without the scores of what is left."""
        if course.left is None:
            raise ValueError("the stopping rule `confident` needs scores, and there are none")
        if len(course.rounds) <= self.after:
            return Ruling(stop=False, why=f"{self.after} rounds come first")
        sure = sum(score < self.below for score in course.left)
        told = f"{sure} of the {len(course.left)} questions that are left score below {self.below:g}"
        return Ruling(stop=sure >= self.share * len(course.left) > 0, why=told)
