"""What may still be spent: caps for the whole campaign, cumulative over resumes."""

from dataclasses import dataclass, replace
from math import floor, isfinite

from elad.records import Charge

_ROUNDING = 1e-9
"""0.29 of 100 is 28.999999999999996 to a machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Caps, any subset; None is no cap. Reaching one is a normal end."""

    money: float | None = None
    """In the currency of the teacher's price."""
    questions: int | None = None
    calls: int | None = None
    tokens: int | None = None
    """Teacher tokens, in and out together."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    seconds: float | None = None
    """Working time of the run. Looked at before each chunk of work, each training and each request: what was begun
    goes to its end, so a run ends that much later. A round that it cuts short is neither trained on nor measured."""

    def __post_init__(self) -> None:
        """Raises: ValueError for a cap that is no number or below 0."""
        for name in ("money", "questions", "calls", "tokens", "tokens_in", "tokens_out", "seconds"):
            cap = getattr(self, name)
            if cap is not None and not (isfinite(cap) and cap >= 0):
                raise ValueError(f"budget.{name}: must be 0 or more, not {cap}")

    def refusal(self, spent: Charge, reserved: Charge, worst: Charge, elapsed_seconds: float) -> str | None:
        """The cap that one more request could break, in words; None when it may be sent.

        `reserved` is the worst case of what is in flight, `worst` that of the request.
        """
        after = spent + reserved + worst
        for name, (used, cap) in self._used(after, elapsed_seconds).items():
            if used > cap or (name == "seconds" and used >= cap):
                unit = f" {after.currency}" if name == "money" and after.currency else ""
                return f"{name}: {cap}{unit}"
        return None

    def shares(self, spent: Charge, elapsed_seconds: float) -> dict[str, float]:
        """How much of each cap is used, as a share; a cap of 0 is used up. `questions` is not among them."""
        used = self._used(spent, elapsed_seconds)
        return {name: amount / cap if cap else 1.0 for name, (amount, cap) in used.items()}

    def _used(self, charge: Charge, elapsed_seconds: float) -> dict[str, tuple[float, float]]:
        used = {
            "money": (charge.money, self.money),
            "calls": (charge.calls, self.calls),
            "tokens": (charge.tokens_in + charge.tokens_out, self.tokens),
            "tokens_in": (charge.tokens_in, self.tokens_in),
            "tokens_out": (charge.tokens_out, self.tokens_out),
            "seconds": (elapsed_seconds, self.seconds),
        }
        return {name: (amount, cap) for name, (amount, cap) in used.items() if cap is not None}

    def split(self, share: float) -> tuple["Budget", "Budget"]:
        """The caps of a main arm and of a control that has `share` of each; together they are these.

        What is counted is rounded down for the control, and the main arm has the rest. The cap on seconds is the run's:
        it stands in both parts, and both look at the same clock.
        """
        counted = ("questions", "calls", "tokens", "tokens_in", "tokens_out")
        parts: dict[str, float] = {
            name: share_of(cap, share) for name in counted if (cap := getattr(self, name)) is not None
        }
        if self.money is not None:
            parts["money"] = self.money * share
        rest = {name: getattr(self, name) - its for name, its in parts.items()}
        return replace(self, **rest), replace(self, **parts)

    def questions_left(self, bought: int, wanted: int) -> int:
        """How many of the wanted questions the cap on questions still allows."""
        return wanted if self.questions is None else max(0, min(wanted, self.questions - bought))


def share_of(count: int, share: float) -> int:
    """A share of a count, rounded down.

    >>> share_of(40, 0.2), share_of(9, 0.2), share_of(100, 0.29)
    (8, 1, 29)
    """
    return floor(count * share + _ROUNDING)
