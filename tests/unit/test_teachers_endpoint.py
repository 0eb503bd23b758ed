from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from chat_kit import PRICE, SCHEMA, ChatServer, completion, opened, request, serving

from elad.ledger.prices import Price
from elad.records import Sampling


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    yield from serving(monkeypatch)


def test_worst_case_bounds_bytes_and_prices_them(serve: Callable[..., ChatServer]) -> None:
    with opened(serve(completion()), price=PRICE) as teacher:
        plain = request("é" * 10, sampling=Sampling(max_tokens=7))
        worst = teacher.worst_case(plain)
        assert (worst.calls, worst.tokens_in, worst.tokens_out) == (1, 36, 7)
        assert worst.money == pytest.approx((36 * 1.0 + 7 * 2.0) / 1e6)
        assert (worst.currency, worst.price_version) == (PRICE.currency, PRICE.version)
        assert teacher.worst_case(request("é" * 10, schema=SCHEMA)).tokens_in > 36


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("cached", [None, 0.5, 1.0, 3.0])
def test_worst_case_bears_any_share_of_cached_tokens(
    serve: Callable[..., ChatServer], cached: float | None, batch: bool
) -> None:
    price = Price(input=1.0, cached_input=cached, output=2.0, batch_discount=0.5)
    with opened(serve(completion()), price=price) as teacher:
        teacher.link = replace(teacher.link, batch=batch)
        worst = teacher.worst_case(request())
        most = teacher.most(request())
    tokens = {"tokens_in": worst.tokens_in, "tokens_out": worst.tokens_out, "batch": batch}
    dues = [price.money(tokens_cached=part, **tokens) for part in range(worst.tokens_in + 1)]
    assert worst.money == pytest.approx(max(dues))
    assert worst.money == price.money(tokens_cached=most.tokens_cached, **tokens)


@pytest.mark.parametrize(
    ("complaint", "param", "code", "named"),
    [
        ("bad request: 'What temperature has the top_p json_schema?'", "messages[0].content", None, set()),
        ("too long: 'What temperature has it?'", None, "context_length_exceeded", set()),
        ("filtered: 'What temperature has it?'", "", "content_filter", set()),
        ("What temperature?", "prompt", "content_filter", set()),
        ("Unsupported value", "temperature", "unsupported_value", {"sampling"}),
        ("'top_p' is not taken", None, "unsupported_parameter", {"sampling"}),
        ("not supported", "response_format.json_schema", None, {"schema"}),
        ("'max_tokens' is not supported: use 'max_completion_tokens'", "max_tokens", None, {"max_tokens"}),
        ("max_tokens is too large", "max_tokens", None, set()),
        ("json_schema and temperature", 7, 400, {"schema", "sampling"}),
    ],
)
def test_what_a_400_turns_down_is_what_its_body_names(
    serve: Callable[..., ChatServer], complaint: str, param: object, code: object, named: set[str]
) -> None:
    with opened(serve(completion())) as teacher:
        assert teacher.concede(complaint, param, code) == named
        assert teacher.conceded == named
