"""What a student is asked, and what it says to that; what else it is asked by a reviser.

Each is a value and so is each answer, since what was asked before is answered out of the ledger.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from elad.records import Message, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a student is given: a conversation, and the start of its own reply."""

    messages: tuple[Message, ...]
    """Without any, what follows is a reply to nothing: only the mark that opens one stands before it."""
    prefix: str = ""
    """Text that the student has already said; generation goes on right after it."""
    seed: int = 0
    """Fixes what is drawn for this prompt, whatever else is in the batch."""
    guess: str = field(default="", compare=False)
    """What is likely to come first: an engine may look at it to be quicker, and what it writes is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What a student wrote after the prompt's prefix."""

    text: str
    finished: bool
    """True when it ended by itself; False when `max_tokens` or the context cut it off."""
    tokens: int
    surprise: float | None = field(default=None, compare=False)
    """Mean of -log p over its tokens, in nats, p at temperature 1; None where the engine does not tell, or wrote
    nothing. Not compared: it differs in the last bits with what else is in the batch."""

    @property
    def too_long(self) -> bool:
        """Whether nothing was written, because the prompt does not fit the context."""
        return not self.finished and self.tokens == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A prompt whose reply is drawn in a way of its own, and not as the run drafts."""

    prompt: Prompt
    sampling: Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """How likely the student finds each of these texts, right after a prompt."""

    prompt: Prompt
    options: tuple[str, ...]


Weights: TypeAlias = tuple[tuple[float, ...], ...]
"""Of each option, the log-probability of each of its tokens; none where it does not fit the context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrasting:
    """Where the guide would rather have another token than the one in a text, right after a prompt."""

    prompt: Prompt
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A token of a text in whose place the guide finds another one likeliest."""

    start: int
    end: int
    """Its characters `[start, end)` of the text."""
    preferred: str
    """What the guide finds likeliest; "" where the text would end there."""
    divergence: float
    """KL(guide || student) of what might stand there, in nats."""


Contrast: TypeAlias = tuple[Disagreement, ...]
"""In the text's order. Left out is what no text can tell: a token that is half a character, or another that says the
same."""
