"""What tokens cost."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

from elad.errors import ConfigError
from elad.records import digest

__all__ = ["Price"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price list for one model: money per `per` tokens.

    Raises: ConfigError on a price that is negative or not finite, on `per` below 1, on a discount outside
    0..1, on tiers that do not rise, or without a currency.
    """

    input: float
    output: float
    cached_input: float | None = None
    """Input that the endpoint served from its prefix cache; None: as dear as other input."""
    currency: str = "USD"
    per: int = 1_000_000
    batch_discount: float | None = None
    """Share that the batch channel takes off, 0..1; None: none is known, and a batch costs what other calls cost."""
    tiers: tuple[tuple[int, float, float | None, float], ...] = ()
    """Prices of calls with longer prompts: of more than so many tokens, then input, cached input and output of the
    whole call. Longer prompts cost no less, so that the price at a prompt's upper bound is a bound."""
    source: str = "user"
    """Where the numbers come from: `user`, or a price list with its version."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"price.{name}: {value} is not a finite amount of at least 0")
        if self.per < 1:
            raise ConfigError(f"price.per: {self.per} is not a positive number of tokens")
        if self.batch_discount is not None and not 0 <= self.batch_discount <= 1:
            raise ConfigError(f"price.batch_discount: {self.batch_discount} is not a share in 0..1")
        if not self.currency:
            raise ConfigError("price.currency: empty")
        steps = [(0, self.input, self._cached, self.output), *self._longer]
        for before, after in pairwise(steps):
            numbers = all(math.isfinite(value) for value in after)
            if not numbers or after[0] <= before[0] or any(x > y for x, y in zip(before, after, strict=True)):
                raise ConfigError(f"price.tiers: {list(after)} does not rise above {list(before)}")

    @property
    def version(self) -> str:
        """Source and a hash of the numbers: equal versions price alike."""
        numbers: list[object] = [float(self.input), float(self._cached), float(self.output), self.currency, self.per]
        if self.batch_discount:
            numbers.append(float(self.batch_discount))
        if self.tiers:
            numbers.append([[float(value) for value in tier] for tier in self._longer])
        return f"{self.source}:{digest(numbers)}"

    def version_of(self, *, batch: bool) -> str:
        """The version of what a call costs, in a batch or on its own."""
        return f"{self.version}:batch" if batch else self.version

    @property
    def free(self) -> bool:
        """Whether no number of tokens costs anything."""
        flat = (self.input, self._cached, self.output)
        return not any(flat) and not any(any(prices) for _, *prices in self._longer)

    @property
    def _cached(self) -> float:
        return self.input if self.cached_input is None else self.cached_input

    @property
    def _longer(self) -> list[tuple[int, float, float, float]]:
        """The tiers, with a price of cached input each."""
        return [(start, fresh, fresh if cached is None else cached, out) for start, fresh, cached, out in self.tiers]

    def at(self, tokens_in: int) -> "Price":
        """The one price of calls with so long a prompt."""
        if not self.tiers:
            return self
        flat = [(0, self.input, self.cached_input, self.output), *self.tiers]
        _, fresh, cached, out = [step for step in flat if step[0] < max(tokens_in, 1)][-1]
        return replace(self, input=fresh, cached_input=cached, output=out, tiers=())

    def money(self, *, tokens_in: int, tokens_cached: int = 0, tokens_out: int = 0, batch: bool = False) -> float:
        """What a call costs; `tokens_cached` is the part of `tokens_in` that came from a cache.

        In a batch, the discount is taken off fresh input and output. Cached input keeps its price, as some vendors
        take nothing off it, but costs no more than fresh input does in that batch.
        """
        price = self.at(tokens_in)
        kept = 1 - (self.batch_discount or 0.0) if batch else 1.0
        cached = min(price._cached, max(price._cached, price.input) * kept)
        fresh = tokens_in - tokens_cached
        return (fresh * price.input * kept + tokens_cached * cached + tokens_out * price.output * kept) / self.per
