"""What tokens cost."""

import math
from dataclasses import dataclass

from elad.errors import ConfigError
from elad.records import digest

__all__ = ["Price"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price list for one model: money per `per` tokens.

    Raises: ConfigError on a price that is negative or not finite, on `per` below 1, on a discount outside
    0..1, or without a currency.
    """

    input: float
    output: float
    cached_input: float | None = None
    """Input that the endpoint served from its prefix cache; None: as dear as other input."""
    currency: str = "USD"
    per: int = 1_000_000
    batch_discount: float | None = None
    """Share that the batch channel takes off, 0..1; None: none is known, and a batch costs what other calls cost."""
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

    @property
    def version(self) -> str:
        """Source and a hash of the numbers: equal versions price alike."""
        numbers = [float(self.input), float(self._cached), float(self.output), self.currency, self.per]
        if self.batch_discount:
            numbers.append(float(self.batch_discount))
        return f"{self.source}:{digest(numbers)}"

    def version_of(self, *, batch: bool) -> str:
        """The version of what a call costs, in a batch or on its own."""
        return f"{self.version}:batch" if batch else self.version

    @property
    def _cached(self) -> float:
        return self.input if self.cached_input is None else self.cached_input

    def money(self, *, tokens_in: int, tokens_cached: int = 0, tokens_out: int = 0, batch: bool = False) -> float:
        """What a call costs; `tokens_cached` is the part of `tokens_in` that came from a cache.

        In a batch, the discount is taken off fresh input and output. Cached input keeps its price, as some vendors
        take nothing off it, but costs no more than fresh input does in that batch.
        """
        kept = 1 - (self.batch_discount or 0.0) if batch else 1.0
        cached = min(self._cached, max(self._cached, self.input) * kept)
        fresh = tokens_in - tokens_cached
        return (fresh * self.input * kept + tokens_cached * cached + tokens_out * self.output * kept) / self.per
