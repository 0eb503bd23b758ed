"""The bundled list: what is found under which name, that it bounds what a call costs, and that nothing is fetched."""

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import genai_prices
import pytest
from genai_prices import data_snapshot
from genai_prices.data import providers
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
    Usage,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from elad.errors import ConfigError
from elad.ledger.price_lists import listed

MODELS = [(provider, model) for provider in providers for model in provider.models]
DAY = date(2026, 11, 1)
BATCH = {"processing": "batch"}


def entries(model: ModelInfo) -> list[ConditionalPrice]:
    return model.prices if isinstance(model.prices, list) else [ConditionalPrice(None, prices=model.prices)]


def flat(price: ModelPrice, key: str) -> float | None:
    """The rate, where it is one for all lengths of the prompt."""
    rate = getattr(price, key)
    return None if rate is None or isinstance(rate, TieredPrices) else float(rate)


def by_the_hour() -> Iterator[str]:
    for provider, model in MODELS:
        if any(isinstance(entry.constraint, TimeOfDateConstraint) for entry in entries(model)):
            yield f"{provider.id}:{model.id}"


@pytest.mark.parametrize("name", ["gpt-4o-mini", "openai:gpt-4o-mini", "OpenAI:GPT-4o-mini"])
def test_a_known_model_has_a_price_and_a_source(name: str) -> None:
    price = listed(name, on=DAY)
    assert price.source == f"genai-prices {genai_prices.__version__} openai:gpt-4o-mini"
    assert price.version.startswith(f"{price.source}:")
    assert price.cached_input is not None
    assert all(math.isfinite(rate) and rate > 0 for rate in (price.input, price.output, price.cached_input))
    assert price.cached_input < price.input < price.output
    assert price.batch_discount == 0.5
    assert (price.currency, price.per) == ("USD", 1_000_000)


def test_a_provider_that_sells_the_models_of_another_has_no_known_batch_channel() -> None:
    price = listed("azure:gpt-4o-mini", on=DAY)
    assert price.source.endswith("azure:gpt-4o-mini")
    assert price.batch_discount is None


def test_today_is_the_default() -> None:
    assert listed("gpt-4o-mini") == listed("gpt-4o-mini", on=datetime.now(UTC).date())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gpt-4o-mnii", r"does not know 'gpt-4o-mnii'; did you mean 'gpt-4o-mini' or "),
        ("opnai:gpt-4o-mini", r"did you mean 'openai:gpt-4o-mini' or "),
        ("openai:gpt-4o-mnii", r"did you mean 'openai:gpt-4o-mini' or "),
        ("llama-3.1-8b-instant", r"did you mean 'groq:llama-3.1-8b-instant' or "),
        ("?!", r"does not know '\?!'\. Give the numbers"),
        ("", r"does not know ''\. Give the numbers"),
    ],
)
def test_an_unknown_model_is_refused_with_the_nearest_and_a_way_out(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        listed(name)
    assert str(refused.value).startswith("teacher.price: ")
    assert "{input: ..., output: ..." in str(refused.value)
    assert "{table: " in str(refused.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("perplexity:sonar-pro", "also charges requests_kcount, which is not computed"),
        ("openai:text-embedding-3-small", "no price per token of input and output"),
        ("openai:whisper-1", "no price per token of input and output"),
    ],
)
def test_what_is_not_priced_by_the_token_is_refused(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"teacher\.price: .*{name}.*{told}"):
        listed(name)


@given(chosen=st.sampled_from(MODELS))
def test_every_model_is_found_under_its_own_name(chosen: tuple[Provider, ModelInfo]) -> None:
    provider, model = chosen
    try:
        told = listed(f"{provider.id}:{model.id}").source
    except ConfigError as error:
        told = str(error)
    assert f" {provider.id}:{model.id}" in told
    assert "does not know" not in told


@given(
    chosen=st.sampled_from(MODELS),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    tokens_in=st.integers(0, 1_200_000),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    tokens_out=st.integers(0, 100_000),
    batch=st.booleans(),
)
def test_no_call_costs_more_than_its_price_says(
    chosen: tuple[Provider, ModelInfo],
    at: datetime,
    tokens_in: int,
    shares: tuple[float, float],
    tokens_out: int,
    batch: bool,
) -> None:
    provider, model = chosen
    try:
        price = listed(f"{provider.id}:{model.id}", on=at.date())
    except ConfigError:
        assume(False)
        raise
    cached = int(tokens_in * shares[0])
    written = int((tokens_in - cached) * shares[1])
    usage = Usage(
        input_tokens=tokens_in, cache_read_tokens=cached, cache_write_tokens=written, output_tokens=tokens_out
    )
    context = BATCH if batch else None
    billed = model.calc_price(usage, provider, genai_request_timestamp=at, price_context=context).total_price
    ours = price.money(tokens_in=tokens_in, tokens_cached=cached, tokens_out=tokens_out, batch=batch)
    assert float(billed) <= ours * (1 + 1e-6)
    if "dearest" not in price.source and not batch and not written:
        assert float(billed) == pytest.approx(ours)


def test_a_call_costs_what_its_own_prompts_length_costs() -> None:
    found = 0
    for provider, model in MODELS:
        price, *others = [entry.prices for entry in entries(model)]
        tiered = price.input_mtok
        if isinstance(tiered, TieredPrices) and price.output_mtok is not None and not others:
            ours = listed(f"{provider.id}:{model.id}")
            top, longest = tiered.tiers[-1], 2_000_000
            assert ours.at(longest).input >= float(top.price)
            assert ours.input < ours.at(longest).input or tiered.base >= top.price
            found += 1
    assert found > 10


@pytest.mark.parametrize("name", ["anthropic:claude-sonnet-4-5", "google:gemini-2.5-pro"])
def test_a_short_prompt_is_not_charged_at_the_rates_of_a_long_one(name: str) -> None:
    price = listed(name, on=DAY)
    ((start, fresh, _, out),) = price.tiers
    assert start == 200_000
    assert price.money(tokens_in=start, tokens_out=10) == price.at(1).money(tokens_in=start, tokens_out=10)
    assert price.money(tokens_in=start + 1) == pytest.approx((start + 1) * fresh / price.per)
    assert (price.input, price.output) < (fresh, out)


@pytest.mark.parametrize("name", [*by_the_hour()])
def test_of_prices_by_the_hour_the_dearest_counts(name: str) -> None:
    (model,) = [model for provider, model in MODELS if f"{provider.id}:{model.id}" == name]
    hours = [model.get_prices(datetime.combine(DAY, time(hour, 59), UTC)) for hour in range(24)]
    price = listed(name, on=DAY)
    assert price.output == max(flat(one, "output_mtok") or 0.0 for one in hours)
    assert price.source.endswith(", dearest rates")


def test_hours_without_a_zone_and_with_another_one_are_hours_of_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    (mini,) = [model for provider, model in MODELS if (provider.id, model.id) == ("openai", "gpt-4o-mini")]
    five = time(2, 0, tzinfo=timezone(timedelta(hours=9)))  # on the day before
    hours = TimeOfDateConstraint(start_time=five, end_time=time(18, 0))
    cheap, dear = (ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(rate)) for rate in (1, 9))
    monkeypatch.setattr(mini, "prices", [ConditionalPrice(None, prices=cheap), ConditionalPrice(hours, prices=dear)])
    assert listed("gpt-4o-mini", on=DAY).output == 9


def test_a_price_holds_from_its_first_day() -> None:
    found = 0
    for provider, model in MODELS:
        if len(entries(model)) != 2:
            continue
        before, after = entries(model)
        rates = [flat(entry.prices, "output_mtok") for entry in (before, after)]
        if isinstance(after.constraint, StartDateConstraint) and None not in rates:
            start, name = after.constraint.start_date, f"{provider.id}:{model.id}"
            assert [listed(name, on=day).output for day in (start - timedelta(days=1), start)] == rates
            found += 1
    assert found > 10


@pytest.mark.usefixtures("socket_disabled")
def test_nothing_is_fetched_and_what_an_updater_fetched_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = data_snapshot.DataSnapshot(providers=[], from_auto_update=True)
    monkeypatch.setattr(data_snapshot, "_custom_snapshot", fetched)
    assert listed("gpt-4o-mini").input > 0
