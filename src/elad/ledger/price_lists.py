"""Prices by name, out of the snapshot that the package `genai-prices` brings along; nothing is fetched."""

import difflib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal

import genai_prices
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices, TimeOfDateConstraint

from elad.errors import ConfigError
from elad.ledger.prices import Price

_COUNTED = frozenset(
    "input_mtok output_mtok output_reasoning_mtok cache_read_mtok cache_write_mtok cache_write_5m_mtok".split()
)
_NEVER_ASKED_FOR = ("audio", "image", "video", "document", "searches", "cache_write_1h")
"""Parts of the names of rates that do not matter to a teacher that gets text, gives text, and has no tools."""
_BATCH = {"processing": "batch"}
_SUGGESTIONS = 3
_REMEDY = (
    "Give the numbers, price: {input: ..., output: ..., currency: USD, per: 1000000}, "
    "or a table of yours, price: {table: prices.yaml, model: ...}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    """The dearest a token may be, in USD per million; `one` where there is but one rate for each kind."""

    above: int
    """Of calls whose prompt has more tokens than this."""
    input: float
    cached: float | None
    output: float
    one: bool


def listed(name: str, *, on: date | None = None) -> Price:
    """The price of a model, given as `model` or `provider:model`, in force on that day in UTC; default today.

    It bounds what a call may cost, so that a cap on money holds: where rates differ by the hour, and where a vendor
    bills what it writes to its cache above other input, the dearest counts, and the source says `dearest rates`. Rates
    by the length of the prompt become tiers; one that falls as the prompt grows stays where it was. The batch discount
    is the smallest of those on input and output. Rates for what a teacher is never asked for (audio, images, searches,
    service tiers) are left out.

    Raises: ConfigError for a model that is unknown (with the nearest known ones) or not priced by the token alone.
    """
    # built here, as the package's own functions would take prices that an updater in this process has fetched
    snapshot = DataSnapshot(providers=providers, from_auto_update=False)
    package = f"genai-prices {genai_prices.__version__}"
    try:
        provider, model = _find(snapshot, name)
    except LookupError:
        told = f"{package} does not know {name!r}{_near(snapshot, name)}"
        raise ConfigError(f"teacher.price: {told} {_REMEDY}") from None
    source = f"{package} {provider.id}:{model.id}"
    day = on or datetime.now(UTC).date()
    standard = _in_force(model, day)
    _refuse_other_charges(standard, source)
    own = any(model is one for one in provider.models)  # another provider's model has that provider's batch channel
    batch = _in_force(model, day, _BATCH) if own else standard
    starts = _starts([*standard, *batch])
    first, *longer = rates = _rising([_dearest(standard, above) for above in starts])
    discount = None if batch == standard else _discount(rates, [_dearest(batch, above) for above in starts])
    return Price(
        input=first.input,
        output=first.output,
        cached_input=first.cached,
        batch_discount=discount,
        tiers=tuple((one.above, one.input, one.cached, one.output) for one in longer),
        source=source if all(one.one for one in rates) else f"{source}, dearest rates",
    )


def _find(snapshot: DataSnapshot, name: str) -> tuple[Provider, ModelInfo]:
    """Raises: LookupError. A colon may be part of the model's own name."""
    prefix, _, rest = name.lower().partition(":")
    provider = next((one for one in snapshot.providers if rest and one.id == prefix), None)
    if provider is None:
        return snapshot.find_provider_model(name, None, None, None)
    for model in provider.models:  # some entries do not match their own name
        if model.id.lower() == rest:
            return provider, model
    return snapshot.find_provider_model(rest, provider, None, None)


def _near(snapshot: DataSnapshot, name: str) -> str:
    """The end of a sentence: the nearest names that can be given instead, where any is near."""
    offers: dict[str, list[str]] = {}
    for provider in snapshot.providers:
        for model in provider.models:
            full = f"{provider.id}:{model.id}"
            offers.setdefault((full if ":" in name else model.id).lower(), []).append(full)
    close = difflib.get_close_matches(name.lower(), offers, n=_SUGGESTIONS)
    found = [told for short in close for told in ([short] if _is_known(snapshot, short) else offers[short])]
    return f"; did you mean {' or '.join(map(repr, found[:_SUGGESTIONS]))}?" if found else "."


def _is_known(snapshot: DataSnapshot, name: str) -> bool:
    try:
        _find(snapshot, name)
    except LookupError:
        return False
    return True


def _in_force(model: ModelInfo, day: date, context: dict[str, str] | None = None) -> list[ModelPrice]:
    """The prices of that day, in UTC: they change at most where an interval of hours starts or ends."""
    entries = model.prices if isinstance(model.prices, list) else []
    constraints = [entry.constraint for entry in [*entries, *(model.price_variants or ())]]
    edges = {time(tzinfo=UTC)}
    for hours in constraints:
        if isinstance(hours, TimeOfDateConstraint):
            edges |= {_utc(day, hours.start_time), _utc(day, hours.end_time)}
    return [model.get_prices(datetime.combine(day, edge), context) for edge in sorted(edges)]


def _utc(day: date, hour: time) -> time:
    """Times without a zone are in UTC."""
    return datetime.combine(day, hour, hour.tzinfo or UTC).astimezone(UTC).timetz()


def _refuse_other_charges(prices: list[ModelPrice], source: str) -> None:
    for price in prices:
        beyond = sorted(
            key
            for key, rate in vars(price).items()
            if rate is not None and key not in _COUNTED and not any(part in key for part in _NEVER_ASKED_FOR)
        )
        if beyond:
            raise ConfigError(
                f"teacher.price: {source} also charges {', '.join(beyond)}, which is not computed. {_REMEDY}"
            )
        if price.input_mtok is None or price.output_mtok is None:
            raise ConfigError(f"teacher.price: {source} has no price per token of input and output. {_REMEDY}")


def _starts(prices: list[ModelPrice]) -> list[int]:
    """The lengths of a prompt above which some rate is another one, 0 first."""
    rates = [rate for price in prices for rate in vars(price).values() if isinstance(rate, TieredPrices)]
    return sorted({0, *(tier.start for rate in rates for tier in rate.tiers)})


def _dearest(prices: list[ModelPrice], above: int) -> _Rates:
    """The rates of prompts that are longer than `above`, up to the next start."""
    told = [{key: _rate(rate, above) for key, rate in vars(price).items() if key in _COUNTED} for price in prices]

    def of(*keys: str) -> list[float]:
        return [rate for one in told for key in keys if (rate := one.get(key)) is not None]

    inputs, outputs = of("input_mtok"), of("output_mtok", "output_reasoning_mtok")
    reads = [one.get("cache_read_mtok") for one in told]
    cached = [one.get("input_mtok") or 0.0 if read is None else read for one, read in zip(told, reads, strict=True)]
    dearest = max(inputs + of("cache_write_mtok", "cache_write_5m_mtok") + cached)
    return _Rates(
        above=above,
        input=dearest,
        cached=max(cached) if any(read is not None for read in reads) else None,
        output=max(outputs),
        one=dearest == max(inputs) and all(len(set(rates)) == 1 for rates in (inputs, cached, outputs)),
    )


def _rate(rate: Decimal | TieredPrices | None, above: int) -> float | None:
    if isinstance(rate, TieredPrices):
        return float(next((tier.price for tier in reversed(rate.tiers) if tier.start <= above), rate.base))
    return None if rate is None else float(rate)


def _rising(steps: list[_Rates]) -> list[_Rates]:
    """The same, none below the one before it; what differs in nothing is left out."""
    risen = steps[:1]
    for step in steps[1:]:
        last = risen[-1]
        cached = None if step.cached is None or last.cached is None else max(step.cached, last.cached)
        top = replace(step, input=max(step.input, last.input), cached=cached, output=max(step.output, last.output))
        if replace(top, above=last.above, one=last.one) != last:
            risen.append(replace(top, one=step.one and top == step))
        elif top != step or not step.one:
            risen[-1] = replace(last, one=False)
    return risen


def _discount(standard: list[_Rates], batch: list[_Rates]) -> float:
    """The share of the dearest rates that a batch leaves off, the smallest one of input and output at any length."""
    left = [
        now / before
        for one in batch
        for usual in [next(rates for rates in reversed(standard) if rates.above <= one.above)]
        for now, before in ((one.input, usual.input), (one.output, usual.output))
        if before > 0
    ]
    return max(0.0, round(1 - max(left, default=1.0), 9))
