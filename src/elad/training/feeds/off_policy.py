"""Adaptive off-policy rows: the student's own answers, fresh or from a buffer, the more the worse validation goes.

Evidence: DistiLLM (Ko et al., 2024, arXiv 2402.03898, ICML), from its released code [P]: a batch is the student's own
with the probability phi, which begins at 0 and rises by 0.1 whenever the validation loss is 0.1 or more above that at
which it rose last; of these a part 1 - (steps done / all steps) is written anew, as are all until the buffer of 1000 is
full, and the rest is drawn from the buffer. Multi-Granularity Semantic Revision takes that over [2].
Ours [D]: each row is drawn for on its own; the first mark is the validation loss after one epoch, not before any; an
answer that is cut off is not kept.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from random import Random

from pydantic import ConfigDict

from elad.errors import require
from elad.learning import Write
from elad.records import Example, Sampling

__all__ = ["OffPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OffPolicy:
    """A share of the rows that follows the validation loss; for objectives that learn from a guide."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    share: float = 0.0
    """Of the rows at first, 0..1: phi."""
    rise: float = 0.1
    """How much phi rises at a time."""
    tolerance: float = 0.1
    """How far the validation loss may climb before it does; in its own unit, such as nats a target."""
    capacity: int = 1000
    """Answers that the buffer holds; the oldest leave it."""
    temperature: float = 1.0
    max_tokens: int = 160
    """An answer that is not done by then is not learnt from: the row stays what was bought."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(0 <= self.share <= 1, "feed.share", "from 0 to 1", self.share)
        require(0 < self.rise <= 1, "feed.rise", "above 0 and at most 1", self.rise)
        for key in ("tolerance", "temperature"):
            value = getattr(self, key)
            require(isfinite(value) and value >= 0, f"feed.{key}", "0 or more", value)
        for key in ("capacity", "max_tokens"):
            require(getattr(self, key) >= 1, f"feed.{key}", "at least 1", getattr(self, key))

    def begun(self) -> "Replaying":
        """With an empty buffer."""
        return Replaying(self)


@dataclass(slots=True)
class Replaying:
    """The feed in a training: its share, its buffer, and the validation loss that the next one is held against."""

    settings: OffPolicy
    share: float = field(init=False)
    mark: float | None = field(init=False, default=None)
    buffer: deque[Example] = field(init=False)

    def __post_init__(self) -> None:
        self.share = self.settings.share
        self.buffer = deque(maxlen=self.settings.capacity)

    def __call__(self, examples: Sequence[Example], write: Write, done: float, rng: Random) -> list[Example]:
        """The examples, some with the student's own answer as their target, and others from the buffer instead."""
        fed, fresh = list(examples), dict[int, int]()
        for place in range(len(fed)):
            lot, seed, at = rng.random(), rng.getrandbits(63), rng.random()
            filling = len(self.buffer) + len(fresh) < self.settings.capacity
            if lot < self.share * (1 - done) or (lot < self.share and filling):
                fresh[place] = seed
            elif lot < self.share and self.buffer:
                fed[place] = self.buffer[int(at * len(self.buffer))]
        sampling = Sampling(temperature=self.settings.temperature, max_tokens=self.settings.max_tokens)
        written = write([examples[place] for place in fresh], sampling, list(fresh.values()))
        for place, text in zip(fresh, written, strict=True):
            if text:
                fed[place] = replace(examples[place], target=text, marks=(), source="student")
                self.buffer.append(fed[place])
        return fed

    def validated(self, loss: float) -> None:
        """A loss that has climbed too far raises the share, and is what the next is held against."""
        if self.mark is None:
            self.mark = loss
        elif loss >= self.mark + self.settings.tolerance:
            self.share, self.mark = min(1.0, self.share + self.settings.rise), loss
