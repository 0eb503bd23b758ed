"""Rows that are written on: the tokens that come after each, and when it is at its end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from elad.records import Sampling
from elad.students.sampling import NO_TOKEN, draw, surprises
from elad.students.slots import Line


@dataclass(slots=True, kw_only=True)
class Written:
    """What was written after a row."""

    tokens: list[int] = field(default_factory=list[int])
    nats: float = 0.0
    """-log p of all of them together."""


@dataclass(slots=True, kw_only=True)
class Writing:
    """What was written after each row so far."""

    rows: Sequence[Sequence[int]]
    sampling: Sampling
    ends: frozenset[int]
    """Tokens that end a reply."""
    context: int
    """Tokens that a row and what is written after it may have."""
    until: Callable[[int, Sequence[int]], bool]
    """Asked after each token with the row's place and what was written; ends the row where it says so."""
    written: list[Written] = field(init=False)

    def __post_init__(self) -> None:
        self.written = [Written() for _ in self.rows]

    def __getitem__(self, line: Line) -> list[int]:
        return self.written[line.row].tokens

    def go_on(self, lines: Sequence[Line], logits_AV: Tensor) -> None:
        """Draws the next token of each line."""
        drawn = draw(logits_AV, [line.random for line in lines], self.sampling)
        for line, token, nats in zip(lines, drawn, surprises(logits_AV, drawn), strict=True):
            self._write(line, token, nats)

    def follow(self, line: Line, guess: Sequence[int], logits_GV: Tensor) -> bool:
        """Writes a guess as far as it is the likeliest; says whether more is to be written.

        `logits_GV` are those before each token of the guess, and after the last.
        """
        likeliest = draw(logits_GV, [], self.sampling)
        for token, nats, guessed in zip(likeliest, surprises(logits_GV, likeliest), guess, strict=False):
            if token != guessed:
                break
            self._write(line, token, nats)
            if self.done(line):
                return False
            line.length += 1
        return True

    def done(self, line: Line) -> bool:
        """Whether a line, after which something was written, is at its end."""
        new = self[line]
        most = min(self.sampling.max_tokens, self.context - len(self.rows[line.row]))
        return new[-1] in self.ends or new[-1] == NO_TOKEN or len(new) >= most or self.until(line.row, new)

    def _write(self, line: Line, token: int, nats: float) -> None:
        written = self.written[line.row]
        written.tokens.append(token)
        written.nats += nats
