"""Which judge and repair a teacher should be used with, by what it did on chains with known errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ACCEPTED_LEVEL = 0.8
"""Share of the right chains that a mode must let pass: what it does not is paid for, and rewritten without need."""
RULE = (
    f"of the modes that accept at least {ACCEPTED_LEVEL:.0%} of the right chains, the one that repairs most wrong "
    "ones; of equals, the one that takes fewest tokens"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share with its Wilson interval at 95 %."""

    count: int
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one way of asking brought."""

    judge: str
    repair: str
    found: Share
    """Wrong chains whose first wrong step was named exactly."""
    accepted: Share
    """Right chains that were let pass."""
    repaired: Share
    """Wrong chains that were repaired and end right."""
    copied: Share
    """Wrong chains whose repaired step says what the wrong one said."""
    calls: int
    """As if this mode alone had been asked for; so are the tokens."""
    tokens_in: int
    tokens_out: int
    outcomes: Mapping[str, int]
    """Of all chains."""

    @property
    def name(self) -> str:
        """Judge and repair."""
        return f"{self.judge} {self.repair}"

    @property
    def tokens(self) -> int:
        """In and out together."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A recommendation and how firm it is."""

    judge: str | None
    """None: no mode can be recommended."""
    repair: str | None
    reason: str
    rule: str
    alike: tuple[str, ...]
    """Other modes that this many chains cannot tell apart from the recommended one."""


def advise(modes: Sequence[Figures]) -> Advice:
    """The recommendation by `RULE`.

    Edge cases: none where no mode accepts enough right chains, or none of those repairs a chain.
    """
    careful = [mode for mode in modes if mode.accepted.count >= ACCEPTED_LEVEL * mode.accepted.n]
    if not careful:
        return _none(f"no mode accepts {ACCEPTED_LEVEL:.0%} of the right chains")
    best = min(careful, key=lambda mode: (-mode.repaired.count, mode.tokens))
    if not best.repaired.count:
        return _none("no mode that accepts right chains repairs a wrong one")
    alike = tuple(mode.name for mode in careful if mode is not best and mode.repaired.high >= best.repaired.low)
    repaired, accepted = best.repaired, best.accepted
    reason = f"repairs {repaired.count} of {repaired.n} and accepts {accepted.count} of {accepted.n}"
    if alike:
        reason += f"; by so few chains it cannot be told apart from {', '.join(alike)}"
    return Advice(judge=best.judge, repair=best.repair, reason=reason, rule=RULE, alike=alike)


def _none(why: str) -> Advice:
    remedy = "take another teacher, or have it write afresh with reviser: {kind: rewrite}"
    return Advice(judge=None, repair=None, reason=f"{why}: {remedy}", rule=RULE, alike=())
