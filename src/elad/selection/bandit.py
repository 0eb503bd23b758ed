"""Bandit: several selectors share the picks of a round, more of them going to those whose picks were worth their price.

Evidence: Thompson sampling for rewards of 0 or 1 from a uniform prior, whose regret grows with the logarithm of the
picks (Thompson, 1933; Kaufmann, Korda and Munos, 2012; from memory) [R]; the drawn reward over the price is one of the
rules for arms that cost unequally (Xia et al., 2015; from memory) [R]. What earns, and what it costs, is ours [D].
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random as Rng
from statistics import fmean
from typing import Annotated, Any, NamedTuple, cast

from pydantic import ConfigDict, PlainSerializer, PlainValidator, ValidationInfo

from elad.errors import ConfigError, require
from elad.kinds import base_of, build, describe
from elad.outcomes import RevisionOutcome
from elad.protocols import Embedded, Encoder, Experienced, Selector
from elad.records import Candidate, Past
from elad.selection.pool import paid
from elad.selection.random import Random
from elad.selection.top import Top

__all__ = ["Bandit"]


def _built(value: object, info: ValidationInfo) -> tuple[Selector, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"selector.arms: expected a list of selectors, got {value!r}")
    told = enumerate(cast("Sequence[object]", value))
    return tuple(build("elad.selection", one, f"selector.arms.{place}", base=base_of(info)) for place, one in told)


def _told(arms: Sequence[Selector]) -> list[dict[str, Any]]:
    return [describe(arm) for arm in arms]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandit:
    """Ids by several selectors, the arms. A pick earns where there was something to repair, and the repair was kept.

    A fresh explanation goes by no chain: it is such a repair where it answers otherwise than the student had.
    Without a past the arms take turns. With one, each pick goes to the arm that has the highest draw: of its chance to
    earn, from the Beta distribution of what it earned so far (before that, uniform), over the mean price of its picks.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    arms: Annotated[tuple[Selector, ...], PlainValidator(_built), PlainSerializer(_told)] = (Top(), Random())

    def __post_init__(self) -> None:
        """Raises: ConfigError for arms that cannot share the picks."""
        require(len(self.arms) > 1, "selector.arms", "two selectors at least", len(self.arms))
        for place, arm in enumerate(self.arms):
            key = f"selector.arms.{place}"
            require(not isinstance(arm, Bandit), key, "a selector of another kind", "a bandit")
            require(arm not in self.arms[:place], key, "another selector than those before it", describe(arm))
            if isinstance(arm, Embedded) and arm.encoder not in (None, self.encoder):
                raise ConfigError(f"{key}.encoder: must be that of the arms before it: a question has one embedding")

    @property
    def needs_scores(self) -> bool:
        """Whether any of the arms does."""
        return any(arm.needs_scores for arm in self.arms)

    @property
    def encoder(self) -> Encoder | None:
        """The one that all arms share which look at embeddings; None where none does."""
        return next((arm.encoder for arm in self.arms if isinstance(arm, Embedded) and arm.encoder), None)

    def having(self, past: Sequence[Past]) -> "_Taught":
        """The same, knowing what was bought before; arms that learn from it are told too."""
        kinds: list[str] = [describe(arm)["kind"] for arm in self.arms]
        names = [kind if kinds.count(kind) == 1 else f"{kind} {place}" for place, kind in enumerate(kinds)]
        arms = [arm.having(past) if isinstance(arm, Experienced) else arm for arm in self.arms]
        return _Taught(needs_scores=self.needs_scores, arms=dict(zip(names, arms, strict=True)), past=past)

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Rng) -> list[str]:
        """Ids as without a past; the order of the candidates does not matter, an allowance below 1 picks none.

        Raises: what the arms raise, once it is their turn.
        """
        return self.having(())(candidates, allowance, rng)


class _Record(NamedTuple):
    """What an arm has earned."""

    won: int
    lost: int
    price: float
    """Mean of its picks, as a share of that of all picks; one pick at the mean of all is thrown in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taught:
    needs_scores: bool
    arms: Mapping[str, Selector]
    past: Sequence[Past]

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Rng) -> list[str]:
        return list(self.picks(candidates, allowance, rng))

    def picks(self, candidates: Sequence[Candidate], allowance: int, rng: Rng) -> dict[str, str]:
        """Ids and the arm of each; what two arms would pick goes to the one whose turn comes first."""
        seeds = [rng.getrandbits(64) for _ in self.arms]
        waiting = {
            name: _picked(arm, candidates, allowance, Rng(seed))
            for (name, arm), seed in zip(self.arms.items(), seeds, strict=True)
        }
        records = self._records()
        found: dict[str, str] = {}
        for turn in range(allowance):
            for name in self._order(records, turn, rng):
                id = next((id for id in waiting[name] if id not in found), None)
                if id is not None:
                    found[id] = name
                    break
        return found

    def _order(self, records: Mapping[str, _Record], turn: int, rng: Rng) -> list[str]:
        """The arms as they are asked for the next pick."""
        names = list(records)
        if not any(record.won + record.lost for record in records.values()):
            return [*names[turn % len(names) :], *names[: turn % len(names)]]
        draws = {
            name: rng.betavariate(1 + record.won, 1 + record.lost) / record.price for name, record in records.items()
        }
        return sorted(names, key=lambda name: -draws[name])

    def _records(self) -> dict[str, _Record]:
        """What each arm earned and paid; what was free does not tell what it is worth."""
        prices = paid(self.past)
        usual = fmean(filter(None, prices)) if any(prices) else 1.0
        records: dict[str, _Record] = {}
        for name in self.arms:
            bills = zip(self.past, prices, strict=True)
            own = [(_earns(past), price) for past, price in bills if past.by == name]
            won = sum(earns for earns, _ in own)
            price = fmean([usual, *(price for _, price in own if price)]) / usual
            records[name] = _Record(won, len(own) - won, price)
        return records


def _earns(past: Past) -> bool:
    rewritten = past.outcome is RevisionOutcome.REWRITTEN
    return past.outcome is RevisionOutcome.REPAIRED or (rewritten and past.changed)


def _picked(arm: Selector, candidates: Sequence[Candidate], allowance: int, rng: Rng) -> Iterator[str]:
    """What an arm picks; it is asked when its first pick is wanted."""
    yield from arm(candidates, allowance, rng)
