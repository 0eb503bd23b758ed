"""What may still be spent: caps for the whole campaign, cumulative over resumes."""

from dataclasses import dataclass
from math import isfinite

from elad.records import Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Caps, any subset; None is no cap. Reaching one is a normal end."""

    money: float | None = None
    """In the currency of the teacher's price."""
    questions: int | None = None
    calls: int | None = None
    tokens: int | None = None
    """Teacher tokens, in and out."""
    seconds: float | None = None
    """Working time of the run."""

    def __post_init__(self) -> None:
        """Raises: ValueError for a cap that is no number or below 0."""
        for name in ("money", "questions", "calls", "tokens", "seconds"):
            cap = getattr(self, name)
            if cap is not None and not (isfinite(cap) and cap >= 0):
                raise ValueError(f"budget.{name}: must be 0 or more, not {cap}")

    def refusal(self, spent: Charge, reserved: Charge, worst: Charge, elapsed_seconds: float) -> str | None:
        """The cap that one more request could break, in words; None when it may be sent.

        `reserved` is the worst case of what is in flight, `worst` that of the request.
        """
        after = spent + reserved + worst
        if self.money is not None and after.money > self.money:
            return f"money: {self.money} {after.currency or ''}".rstrip()
        if self.calls is not None and after.calls > self.calls:
            return f"calls: {self.calls}"
        if self.tokens is not None and after.tokens_in + after.tokens_out > self.tokens:
            return f"tokens: {self.tokens}"
        if self.seconds is not None and elapsed_seconds >= self.seconds:
            return f"seconds: {self.seconds:g}"
        return None

    def questions_left(self, bought: int, wanted: int) -> int:
        """How many of the wanted questions the cap on questions still allows."""
        return wanted if self.questions is None else max(0, min(wanted, self.questions - bought))
