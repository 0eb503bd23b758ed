import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chat_kit import CANARY, PRICE, SCHEMA, Answer, ChatServer, ask, completion, failure, opened, request, serving

from elad.errors import ConfigError, TeacherError
from elad.kinds import build
from elad.ledger.prices import Price
from elad.outcomes import ReplyOutcome
from elad.records import Reply, Sampling
from elad.teachers import call
from elad.teachers.openai import OpenAI


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    yield from serving(monkeypatch)


def test_what_is_sent(serve: Callable[..., ChatServer]) -> None:
    endpoint = serve(completion())
    ask(
        endpoint,
        request(),
        request(sampling=Sampling(temperature=0.7, top_p=0.9, max_tokens=5), seed=2**40 + 3, schema=SCHEMA),
        concurrency=1,
    )
    first, second = endpoint.asked
    assert first == {
        "model": "m",
        "messages": [{"role": "user", "content": "How much is 2 + 2?"}],
        "max_tokens": 192,
        "temperature": 0.0,
    }
    assert (second["temperature"], second["top_p"], second["max_tokens"], second["seed"]) == (0.7, 0.9, 5, 3)
    assert second["response_format"]["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize(
    "answer", [failure(500, "oops"), failure(429, "slow down", **{"Retry-After": "0"}), failure(503, "busy")]
)
def test_a_passing_failure_is_tried_again(serve: Callable[..., ChatServer], answer: Answer) -> None:
    endpoint = serve(answer, completion("4"))
    (reply,) = ask(endpoint)
    assert (reply.outcome, reply.charge.calls, len(endpoint.asked)) == (ReplyOutcome.OK, 1, 2)


@pytest.mark.parametrize(
    ("answer", "sent", "outcome"),
    [
        (failure(500, "oops"), 3, ReplyOutcome.FAILED),
        (failure(400, "bad"), 1, ReplyOutcome.REJECTED),
        (failure(413, "no"), 1, ReplyOutcome.REJECTED),
    ],
)
def test_a_lasting_failure_of_one_request_is_a_reply(
    serve: Callable[..., ChatServer], answer: Answer, sent: int, outcome: ReplyOutcome
) -> None:
    endpoint = serve(answer)
    (reply,) = ask(endpoint, price=PRICE)
    assert (reply.outcome, reply.text, len(endpoint.asked)) == (outcome, "", sent)
    assert str(answer[0]) in reply.reason
    assert (reply.charge.calls, reply.charge.tokens_in, reply.charge.money) == (1, 0, 0.0)


def test_a_refused_schema_is_dropped_for_all_later_requests(serve: Callable[..., ChatServer]) -> None:
    def script(_: int, body: dict[str, Any]) -> Answer:
        if "response_format" in body:
            return failure(400, "'response_format' of type 'json_schema' is not supported")
        return completion("{}")

    endpoint = serve(script=script)
    replies = ask(endpoint, *(request(seed=n, schema=SCHEMA) for n in range(12)), concurrency=4)
    assert [r.outcome for r in replies] == [ReplyOutcome.OK] * 12
    assert all("schema" in reply.reason for reply in replies)
    assert 1 <= sum("response_format" in body for body in endpoint.asked) <= 4
    assert sum(reply.charge.calls for reply in replies) == 12


def test_a_reasoning_model_is_asked_in_its_own_terms(serve: Callable[..., ChatServer]) -> None:
    def script(_: int, body: dict[str, Any]) -> Answer:
        if "max_tokens" in body:
            return failure(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in body:
            return failure(400, "Unsupported value: 'temperature' does not support 0.0 with this model.")
        return completion("4")

    endpoint = serve(script=script)
    (reply,) = ask(endpoint)
    assert (reply.outcome, len(endpoint.asked)) == (ReplyOutcome.OK, 3)
    assert endpoint.asked[-1]["max_completion_tokens"] == 192


def test_a_400_that_stays_after_the_concession_is_a_failure(serve: Callable[..., ChatServer]) -> None:
    endpoint = serve(failure(400, "json_schema and temperature and the moon are wrong"))
    (reply,) = ask(endpoint, request(schema=SCHEMA))
    assert (reply.outcome, len(endpoint.asked)) == (ReplyOutcome.REJECTED, 2)


def test_a_closed_port_is_a_teacher_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        teacher = OpenAI(base_url=url, model="m", attempts=1).open()
        with pytest.raises(TeacherError) as caught:
            list(teacher.ask([request()]))
        teacher.close()
    assert url in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_refused_key_account_or_model_is_a_teacher_error(serve: Callable[..., ChatServer], status: int) -> None:
    endpoint = serve(failure(status, f"Incorrect API key provided: {CANARY}."))
    with pytest.raises(TeacherError) as caught:
        ask(endpoint)
    assert str(status) in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("status", [400, 413, 500])
def test_the_key_is_in_no_reason(serve: Callable[..., ChatServer], status: int) -> None:
    (reply,) = ask(serve(failure(status, f"you sent Bearer {CANARY} to me")), attempts=1)
    assert "[key]" in reply.reason
    assert CANARY not in repr(reply)


@pytest.mark.parametrize("body", [b"<html>nginx</html>", b'"' + b"x" * 5_000_000])
def test_a_good_status_without_a_completion_is_a_lost_reply(serve: Callable[..., ChatServer], body: bytes) -> None:
    endpoint = serve((200, {}, body))
    (reply,) = ask(endpoint)
    assert (reply.outcome, reply.text, len(endpoint.asked)) == (ReplyOutcome.LOST, "", 1)


def test_a_tokenizer_that_is_not_there_is_refused_when_opened(serve: Callable[..., ChatServer]) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.tokenizer: .*did you mean 'smollm2-135m'"):
        OpenAI(base_url=serve(completion()).base_url, model="m", tokenizer="smolm2-135m").open()


@pytest.mark.parametrize("before", [0, 1])
def test_after_the_iterator_is_closed_nothing_is_sent(serve: Callable[..., ChatServer], before: int) -> None:
    class Stopped(threading.Event):
        def is_set(self) -> bool:
            return len(endpoint.asked) >= before

    endpoint = serve(failure(500, "oops"))
    with opened(endpoint) as teacher:
        reply = call.Call(teacher, request(), Stopped()).reply()
    assert isinstance(reply, Reply)
    assert (reply.outcome, len(endpoint.asked)) == (ReplyOutcome.UNSENT, before)


class Told(threading.Event):
    """Keeps what it was to wait for, and waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return False


def test_the_wait_before_a_retry_is_bounded(serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "FIRST_WAIT_SECONDS", 1000.0)
    told = Told()
    with opened(serve(failure(503, "later"))) as teacher:
        reply = call.Call(teacher, request(), told).reply()
    assert isinstance(reply, Reply)
    assert sum(told.waits) == 2 * call.MOST_WAIT_SECONDS


@pytest.mark.parametrize("answer", [failure(500, "oops"), failure(400, "no json_schema")], ids=["500", "400"])
def test_after_the_user_has_stopped_nothing_more_is_sent(
    serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    endpoint = serve(answer)
    monkeypatch.setattr(call, "stopping", lambda: bool(endpoint.asked))
    (reply,) = ask(endpoint, request(schema=SCHEMA))
    assert (reply.outcome, reply.charge.calls, len(endpoint.asked)) == (ReplyOutcome.UNSENT, 0, 1)


def test_a_wait_ends_soon_after_the_user_has_stopped(
    serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "FIRST_WAIT_SECONDS", 60.0)
    monkeypatch.setattr(call, "stopping", lambda: len(told.waits) == 3)
    endpoint, told = serve(failure(500, "oops")), Told()
    with opened(endpoint) as teacher:
        reply = call.Call(teacher, request(), told).reply()
    assert isinstance(reply, Reply)
    assert (reply.outcome, len(endpoint.asked), len(told.waits)) == (ReplyOutcome.UNSENT, 1, 3)
    assert max(told.waits) <= 1


def test_text_that_is_not_unicode_fails_alone(serve: Callable[..., ChatServer]) -> None:
    replies = ask(serve(completion()), request("\ud800"), request("fine"))
    assert sorted(r.outcome for r in replies) == [ReplyOutcome.FAILED, ReplyOutcome.OK]


def test_a_local_endpoint_needs_no_key_and_a_remote_one_does(serve: Callable[..., ChatServer]) -> None:
    endpoint = serve(completion())
    (reply,) = ask(endpoint, api_key_env="ELAD_TEST_NO_SUCH_KEY")
    assert reply.outcome is ReplyOutcome.OK
    assert CANARY not in endpoint.headers[0]["authorization"]
    with pytest.raises(ConfigError, match="ELAD_TEST_NO_SUCH_KEY"):
        OpenAI(base_url="https://api.example.com/v1", model="m", api_key_env="ELAD_TEST_NO_SUCH_KEY").open()


def test_a_key_that_no_header_takes_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ünusable")
    with pytest.raises(ConfigError) as caught:
        OpenAI(model="m").open()
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize("name", [CANARY, "AIzaSyA1b2C3d4E5f6G7h8", "gsk1234567890abcdef", "", "A B", "1A"])
def test_a_key_in_the_place_of_its_variables_name_is_refused_unseen(name: str) -> None:
    settings = {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key_env": name}
    with pytest.raises(ConfigError, match=r"teacher\.api_key_env") as caught:
        build("elad.teachers", settings, "teacher")
    assert not name or name not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "_KEY2", "my_key"])
def test_the_name_of_a_variable_is_taken(name: str) -> None:
    assert OpenAI(model="m", api_key_env=name).api_key_env == name


@pytest.mark.parametrize(
    "wrong",
    [{"base_url": "file:///etc"}, {"concurrency": 0}, {"attempts": 0}, {"timeout_seconds": float("nan")}],
)
def test_unusable_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        OpenAI(**{"model": "m", **wrong})


def test_a_refusal_is_the_limiters_business_and_no_attempt(serve: Callable[..., ChatServer]) -> None:
    endpoint = serve(*[failure(429, "slow down", **{"Retry-After": "0"})] * 6, completion("4"))
    (reply,) = ask(endpoint, attempts=1)
    assert (reply.outcome, reply.charge.calls, len(endpoint.asked)) == (ReplyOutcome.OK, 1, 7)


@pytest.mark.parametrize(
    ("price", "repeatable"), [(None, False), (PRICE, False), (Price(input=0, output=0), True)], ids=str
)
def test_a_lost_reply_is_asked_again_at_no_count_only_where_nobody_is_billed_for_sure(
    price: Price | None, repeatable: bool
) -> None:
    opened = OpenAI(base_url="http://127.0.0.1:9/v1", model="m", price=price).open()
    try:
        assert opened.repeatable is repeatable
    finally:
        opened.close()


def test_a_repeated_request_carries_the_same_key_where_the_endpoint_knows_it(
    serve: Callable[..., ChatServer],
) -> None:
    endpoint = serve(completion("4"))
    ask(endpoint, request(), request(seed=1), idempotent=True)
    ask(endpoint, request(), idempotent=True)
    ask(endpoint, request())
    keys = [sent.get("idempotency-key") for sent in endpoint.headers]
    assert keys[2] in keys[:2]
    assert len(set(keys[:2])) == 2
    assert keys[3] is None
