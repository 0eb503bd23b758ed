import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import ConfigError
from elad.ledger.prices import Price
from elad.records import Charge, from_json, to_json

amounts = st.floats(0, 1000)
prices = st.builds(
    Price,
    input=amounts,
    output=amounts,
    cached_input=st.none() | amounts,
    batch_discount=st.none() | st.floats(0, 1),
)
tokens = st.integers(0, 10**6)
charges = st.builds(
    Charge,
    calls=tokens,
    tokens_in=tokens,
    tokens_cached=tokens,
    tokens_out=tokens,
    seconds=amounts,
    money=amounts,
    currency=st.sampled_from([None, "USD"]),
    price_version=st.none() | st.sampled_from(["a:1", "b:2", "c:3"]),
    estimated=st.booleans(),
)


@given(price=prices, first=st.tuples(tokens, tokens), second=st.tuples(tokens, tokens), batch=st.booleans())
def test_money_adds_up(price: Price, first: tuple[int, int], second: tuple[int, int], batch: bool) -> None:
    together = price.money(tokens_in=first[0] + second[0], tokens_out=first[1] + second[1], batch=batch)
    apart = sum(price.money(tokens_in=i, tokens_out=o, batch=batch) for i, o in (first, second))
    assert together == pytest.approx(apart)


@given(price=prices, tokens_in=tokens)
def test_cached_tokens_cost_their_own_price(price: Price, tokens_in: int) -> None:
    cached = price.input if price.cached_input is None else price.cached_input
    money = price.money(tokens_in=tokens_in, tokens_cached=tokens_in)
    assert money == pytest.approx(tokens_in * cached / 1_000_000)


@given(price=prices, tokens_in=tokens, tokens_out=tokens)
def test_the_batch_channel_takes_its_share_off(price: Price, tokens_in: int, tokens_out: int) -> None:
    usual = price.money(tokens_in=tokens_in, tokens_out=tokens_out)
    batch = price.money(tokens_in=tokens_in, tokens_out=tokens_out, batch=True)
    assert batch == pytest.approx(usual * (1 - (price.batch_discount or 0)))


@given(price=prices, tokens_in=tokens, share=st.floats(0, 1), tokens_out=tokens)
def test_a_batch_never_costs_more_and_caching_not_either(
    price: Price, tokens_in: int, share: float, tokens_out: int
) -> None:
    cached = int(tokens_in * share)
    usual = price.money(tokens_in=tokens_in, tokens_cached=cached, tokens_out=tokens_out)
    batch = price.money(tokens_in=tokens_in, tokens_cached=cached, tokens_out=tokens_out, batch=True)
    assert batch <= usual * (1 + 1e-9)
    if price.cached_input is None or price.cached_input <= price.input:
        assert batch <= price.money(tokens_in=tokens_in, tokens_out=tokens_out, batch=True) * (1 + 1e-9)


def test_a_batch_takes_nothing_off_cached_input_that_is_cheap_already() -> None:
    price = Price(input=1.0, cached_input=0.1, output=2.0, per=1, batch_discount=0.5)
    assert price.money(tokens_in=3, tokens_cached=2, tokens_out=1, batch=True) == pytest.approx(0.5 + 2 * 0.1 + 1.0)
    dearer = dataclasses.replace(price, cached_input=0.8)
    assert dearer.money(tokens_in=3, tokens_cached=2, batch=True) == pytest.approx(3 * 0.5)


TIERED = Price(input=1.0, cached_input=0.1, output=2.0, per=1, tiers=((100, 3.0, 0.2, 5.0), (200, 4.0, None, 5.0)))


@pytest.mark.parametrize(
    ("tokens_in", "rates"),
    [(0, (1.0, 0.1, 2.0)), (100, (1.0, 0.1, 2.0)), (101, (3.0, 0.2, 5.0)), (999, (4.0, 4.0, 5.0))],
)
def test_the_length_of_the_prompt_decides_the_price_of_the_whole_call(
    tokens_in: int, rates: tuple[float, float, float]
) -> None:
    cached = tokens_in // 2
    due = (tokens_in - cached) * rates[0] + cached * rates[1] + 7 * rates[2]
    assert TIERED.money(tokens_in=tokens_in, tokens_cached=cached, tokens_out=7) == pytest.approx(due)


@given(first=tokens, second=tokens, tokens_out=tokens, batch=st.booleans())
def test_a_longer_prompt_never_costs_less(first: int, second: int, tokens_out: int, batch: bool) -> None:
    price = dataclasses.replace(TIERED, batch_discount=0.5)
    shorter, longer = sorted((first, second))
    less, more = (price.money(tokens_in=n, tokens_out=tokens_out, batch=batch) for n in (shorter, longer))
    assert less <= more


def test_other_tiers_are_another_version() -> None:
    flat = dataclasses.replace(TIERED, tiers=())
    assert len({TIERED.version, flat.version, dataclasses.replace(TIERED, tiers=TIERED.tiers[:1]).version}) == 3
    assert from_json(Price, to_json(TIERED)) == TIERED


def of_version(price: Price) -> tuple[object, ...]:
    cached = price.input if price.cached_input is None else price.cached_input
    return price.input, cached, price.output, price.batch_discount or 0


@given(first=prices, second=prices)
def test_equal_versions_price_alike(first: Price, second: Price) -> None:
    assert (first.version == second.version) == (of_version(first) == of_version(second))


@given(price=prices, discount=st.floats(0.01, 1))
def test_another_discount_is_another_version(price: Price, discount: float) -> None:
    other = dataclasses.replace(price, batch_discount=discount)
    assert (price.version == other.version) == (price.batch_discount == discount)


def test_the_version_names_its_source() -> None:
    assert Price(input=1, output=2, source="list 0.2.3").version.startswith("list 0.2.3:")


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": -1.0},
        {"output": float("nan")},
        {"cached_input": float("inf")},
        {"per": 0},
        {"currency": ""},
        {"batch_discount": -0.1},
        {"batch_discount": 1.1},
        {"batch_discount": float("nan")},
        {"tiers": ((0, 2.0, None, 2.0),)},
        {"tiers": ((100, 0.5, None, 2.0),)},
        {"tiers": ((100, 2.0, None, float("nan")),)},
        {"tiers": ((100, 2.0, 0.5, 2.0),)},
        {"tiers": ((200, 2.0, None, 2.0), (100, 3.0, None, 3.0))},
    ],
)
def test_unusable_prices_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Price(**{"input": 1.0, "output": 1.0, **wrong})


def same(one: Charge, other: Charge) -> bool:
    ours, theirs = dataclasses.asdict(one), dataclasses.asdict(other)
    floats = ("seconds", "money")
    return all(ours.pop(name) == pytest.approx(theirs.pop(name)) for name in floats) and ours == theirs


@given(a=charges, b=charges, c=charges)
def test_charges_add_up_in_any_order(a: Charge, b: Charge, c: Charge) -> None:
    assert same(a + b, b + a)
    assert same((a + b) + c, a + (b + c))
    assert same(a + Charge(), a)


def test_a_sum_names_every_price_that_is_in_it() -> None:
    first, second = Charge(price_version="new:2"), Charge(price_version="old:1")
    assert (first + second + first).price_version == "new:2; old:1"
    assert (first + Charge()).price_version == "new:2"
    assert (Charge() + Charge()).price_version is None


@given(price=prices, tokens_in=tokens, tokens_out=tokens)
def test_free_is_what_costs_nothing(price: Price, tokens_in: int, tokens_out: int) -> None:
    if price.free:
        assert price.money(tokens_in=tokens_in, tokens_cached=tokens_in // 2, tokens_out=tokens_out) == 0
    assert Price(input=0, output=0).free
    assert not Price(input=0, output=0, cached_input=1).free
    assert not Price(input=0, output=0, tiers=((1000, 0, None, 2),)).free
