"""Which way is taken to an endpoint."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Literal, cast

import httpx2
import pytest
from batch_kit import CREATE, LIST, PRICE, Wire, link, request, wired

from elad.errors import ConfigError, TeacherError
from elad.ledger.prices import Price
from elad.outcomes import Purpose, ReplyOutcome
from elad.teachers.batch import BatchTeacher
from elad.teachers.channel import AutoTeacher
from elad.teachers.endpoint import Endpoint
from elad.teachers.openai import OpenAI
from elad.testing import ChaosServer, ChaosTeacher

Answer = Callable[[], httpx2.Response]


@contextmanager
def opened(
    server: ChaosServer, price: Price | None = PRICE, listed: Answer | None = None
) -> Iterator[tuple[AutoTeacher, Wire]]:
    """A teacher that looks for itself, and what is sent by the batch; `listed` answers for the list of batches."""

    def after(_: int, step: str, content: bytes) -> httpx2.Response | None:
        return listed() if listed and step == LIST else None

    batched = Endpoint("openai:m", link(server.base_url, price=price), "")
    wire = wired(batched, after=after)
    live = Endpoint("openai:m", link(server.base_url, price=price, batch=False), "")
    teacher = AutoTeacher(live, batched, lambda _: None)
    try:
        yield teacher, wire
    finally:
        teacher.close()


def test_batches_are_taken_where_they_are_to_be_had_for_less() -> None:
    with ChaosTeacher() as server, opened(server) as (teacher, wire):
        live = teacher.worst_case(request(0))
        assert wire.steps == []
        replies = list(teacher.ask([request(n) for n in range(3)]))
        assert isinstance(teacher.taken(), BatchTeacher)
        assert teacher.repeatable
        assert wire.steps.count(CREATE) == 1
        assert teacher.worst_case(request(0)).money == pytest.approx(live.money / 2)
        assert sum(reply.charge.money for reply in replies) == pytest.approx(server.books.money)


@pytest.mark.parametrize("price", [None, Price(input=1, output=2), Price(input=1, output=2, batch_discount=0.0)])
def test_without_a_discount_the_endpoint_is_not_even_looked_at(price: Price | None) -> None:
    with ChaosTeacher() as server, opened(server, price) as (teacher, wire):
        assert [reply.outcome for reply in teacher.ask([request(0)])] == [ReplyOutcome.OK]
        assert isinstance(teacher.taken(), Endpoint)
        assert (teacher.repeatable, wire.steps) == (False, [])


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx2.Response(404, json={"error": {"message": "Invalid URL"}}),
        lambda: httpx2.Response(405, content=b""),
        lambda: httpx2.Response(403, json={"error": {"message": "missing scope"}}),
        lambda: httpx2.Response(200, content=b"<html>", headers={"content-type": "text/html"}),
    ],
)
def test_where_there_are_no_batches_calls_go_live_at_the_full_price(answer: Answer) -> None:
    with ChaosTeacher() as server, opened(server, listed=answer) as (teacher, wire):
        replies = list(teacher.ask([request(n) for n in range(3)]))
        assert {reply.outcome for reply in replies} == {ReplyOutcome.OK}
        assert {reply.charge.price_version for reply in replies} == {PRICE.version}
        assert sum(reply.charge.money for reply in replies) == pytest.approx(server.books.money)
        assert set(wire.steps) == {LIST}
        assert not teacher.repeatable


def test_an_endpoint_that_does_not_answer_is_an_error_and_no_choice() -> None:
    answers = [lambda: httpx2.Response(503, json={"error": {"message": "busy"}})] * 3
    with ChaosTeacher() as server, opened(server, listed=lambda: answers.pop()()) as (teacher, _):
        with pytest.raises(TeacherError, match="503"):
            list(teacher.ask([request(0)]))
        assert (answers, server.books.arrived) == ([], 0)


def test_with_nothing_to_ask_nothing_is_sent() -> None:
    with ChaosTeacher() as server, opened(server) as (teacher, wire):
        assert list(teacher.ask([])) == list(teacher.ask([None])) == []
        assert wire.steps == []
        assert (teacher.id, teacher.priced, teacher.scope) == ("openai:m", True, None)


@pytest.mark.parametrize(("channel", "kind"), [("live", Endpoint), ("batch", BatchTeacher), ("auto", AutoTeacher)])
def test_the_setting_opens_the_way(channel: Literal["live", "batch", "auto"], kind: type) -> None:
    teacher = OpenAI(base_url="http://127.0.0.1:1/v1", model="m", channel=channel, cache=True).open()
    assert type(teacher) is kind
    assert (teacher.id, teacher.scope) == ("openai:m", "openai:m at http://127.0.0.1:1/v1")
    assert (teacher.serves, teacher.priced) == (frozenset(Purpose), False)
    teacher.close()


def test_a_way_is_known_by_its_channel_and_address_and_by_nothing_secret() -> None:
    def ways(**settings: Any) -> str:
        with closing(OpenAI(**{"base_url": "http://127.0.0.1:1/v1", "model": "m", **settings}).open()) as teacher:
            return teacher.way

    free = Price(input=0.0, output=0.0)
    variants: list[dict[str, Any]] = [{}, {"channel": "batch"}, {"idempotent": True}, {"price": free}]
    assert len({ways(**settings) for settings in [*variants, {"base_url": "http://127.0.0.2:1/v1"}]}) == 5
    assert ways() == ways(price=PRICE, concurrency=3) == ways(channel="auto") == "live at http://127.0.0.1:1/v1"
    for base_url in ("http://user:canary@h/v1", "http://h/v1?key=canary"):
        with closing(Endpoint("openai:m", link(base_url), "canary")) as endpoint:
            assert endpoint.way == "batch at http://h/v1"


def test_no_other_way_is_known() -> None:
    with pytest.raises(ConfigError, match="channel"):
        OpenAI(model="m", channel=cast(Any, "telegraph"))
