import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import ConfigError
from elad.ledger.prices import Price

amounts = st.floats(0, 1000)
prices = st.builds(Price, input=amounts, output=amounts, cached_input=st.none() | amounts)
tokens = st.integers(0, 10**6)


@given(price=prices, first=st.tuples(tokens, tokens), second=st.tuples(tokens, tokens))
def test_money_adds_up(price: Price, first: tuple[int, int], second: tuple[int, int]) -> None:
    together = price.money(tokens_in=first[0] + second[0], tokens_out=first[1] + second[1])
    apart = sum(price.money(tokens_in=i, tokens_out=o) for i, o in (first, second))
    assert together == pytest.approx(apart)


@given(price=prices, tokens_in=tokens)
def test_cached_tokens_cost_their_own_price(price: Price, tokens_in: int) -> None:
    cached = price.input if price.cached_input is None else price.cached_input
    money = price.money(tokens_in=tokens_in, tokens_cached=tokens_in)
    assert money == pytest.approx(tokens_in * cached / 1_000_000)


@given(first=prices, second=prices)
def test_equal_versions_price_alike(first: Price, second: Price) -> None:
    numbers = {(p.input, p.input if p.cached_input is None else p.cached_input, p.output) for p in (first, second)}
    assert (first.version == second.version) == (len(numbers) == 1)


def test_the_version_names_its_source() -> None:
    assert Price(input=1, output=2, source="list 0.2.3").version.startswith("list 0.2.3:")


@pytest.mark.parametrize(
    "wrong",
    [{"input": -1.0}, {"output": float("nan")}, {"cached_input": float("inf")}, {"per": 0}, {"currency": ""}],
)
def test_unusable_prices_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Price(**{"input": 1.0, "output": 1.0, **wrong})
