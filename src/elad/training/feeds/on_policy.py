"""On-policy rows: what the student itself answers now, in place of what was bought.

Evidence: a share `lambda` of the batches are the student's own samples in generalized knowledge distillation
(Agarwal et al., 2024, arXiv 2306.13649) [S]; here each row is drawn for on its own, so that a step has some of
both [D].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from random import Random

from pydantic import ConfigDict

from elad.errors import require
from elad.learning import Write
from elad.records import Example, Sampling

__all__ = ["OnPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPolicy:
    """A share of the rows are written anew whenever they are drawn; for objectives that learn from a guide."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    share: float = 0.5
    """Of the rows, 0..1."""
    temperature: float = 1.0
    max_tokens: int = 160
    """An answer that is not done by then is not learnt from: the row stays what was bought."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(0 < self.share <= 1, "feed.share", "above 0 and at most 1", self.share)
        require(isfinite(self.temperature) and self.temperature >= 0, "feed.temperature", "0 or more", self.temperature)
        require(self.max_tokens >= 1, "feed.max_tokens", "at least 1", self.max_tokens)

    def __call__(self, examples: Sequence[Example], write: Write, done: float, rng: Random) -> list[Example]:
        """The examples, some with the student's own answer as their target."""
        lots = [(rng.random() < self.share, rng.getrandbits(63)) for _ in examples]
        drawn = [place for place, (own, _) in enumerate(lots) if own]
        sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
        written = write([examples[i] for i in drawn], sampling, [lots[i][1] for i in drawn])
        fed = list(examples)
        for i, text in zip(drawn, written, strict=True):
            if text:
                fed[i] = replace(examples[i], target=text, marks=(), source="student")
        return fed
