"""How an arm went so far: what a stopping rule looks at, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What an arm had come to after a round; the held-out questions are the same in all its rounds, in one order."""

    right: tuple[bool, ...]
    """Of each held-out question, whether it was answered right."""
    answers: tuple[str | None, ...]
    """Of each, the answer; None where none can be read."""
    questions: int
    """Bought so far."""
    money: float
    """Spent so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """An arm so far, as a stopping rule sees it."""

    rounds: Sequence[Measured]
    """From round 0 on."""
    left: Sequence[float] | None = None
    """The scores of the questions that may still be bought, by the newest student; None where nobody looks at them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a stopping rule says before a round."""

    stop: bool
    why: str
    """In words; also where it goes on."""
