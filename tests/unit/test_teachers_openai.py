import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from transformers import AutoTokenizer

from elad.errors import ConfigError, TeacherError
from elad.ledger.prices import Price
from elad.records import Message, Problem, Purpose, Reply, ReplyOutcome, Request, Sampling
from elad.teachers import call
from elad.teachers.answers import MOST_TEXT_BYTES
from elad.teachers.endpoint import Endpoint
from elad.teachers.openai import OpenAI

CANARY = "sk-canary-1234567890"
PRICE = Price(input=1.0, cached_input=0.5, output=2.0)
SCHEMA = {"type": "object", "properties": {"correct": {"type": "boolean"}}}


Answer = tuple[int, dict[str, str], Any]
"""Status, headers, and a body: JSON values, or bytes as they are."""


def completion(content: str | None = "4", finish: str = "stop", usage: object = ..., **message: Any) -> Answer:
    if usage is ...:
        usage = {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 40},
        }
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": content, **message},
    }
    return 200, {}, {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def failure(status: int, message: str, **headers: str) -> Answer:
    return status, headers, {"error": {"message": message, "type": "x", "code": None}}


class ChatServer:
    """A scripted server: `script` maps the n-th request's body to an answer; it keeps what it was asked."""

    def __init__(self, script: Callable[[int, dict[str, Any]], Answer]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._script = script
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    n = len(server.asked)
                    server.asked.append(body)
                    server.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, answer = server._script(n, body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setattr(call, "FIRST_WAIT_SECONDS", 0.0)
    opened: list[ChatServer] = []

    def start(*answers: Answer, script: Callable[[int, dict[str, Any]], Answer] | None = None) -> ChatServer:
        opened.append(ChatServer(script or (lambda n, _: answers[min(n, len(answers) - 1)])))
        return opened[-1]

    yield start
    for endpoint in opened:
        endpoint.close()


def request(question: str = "How much is 2 + 2?", **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "problem": Problem(id="q1", question=question),
        "purpose": Purpose.SOLVE,
        "messages": (Message(role="user", content=question),),
        **changes,
    }
    return Request(**fields)


@contextmanager
def opened(server: ChatServer, **settings: Any) -> Iterator[Endpoint]:
    teacher = OpenAI(base_url=server.base_url, model="m", **settings).open()
    assert isinstance(teacher, Endpoint)
    try:
        yield teacher
    finally:
        teacher.close()


def ask(server: ChatServer, *requests: Request, **settings: Any) -> list[Reply]:
    with opened(server, **settings) as teacher:
        return list(teacher.ask(requests or (request(),)))


def test_an_answer_is_charged_by_the_price_list(serve: Callable[..., ChatServer]) -> None:
    endpoint, asked = serve(completion("4")), request("y" * 90)
    (reply,) = ask(endpoint, asked, price=PRICE)
    assert (reply.outcome, reply.text, reply.reason) == (ReplyOutcome.OK, "4", "")
    assert reply.request == asked.key
    assert reply.teacher == "openai:m"
    charge = reply.charge
    assert (charge.calls, charge.tokens_in, charge.tokens_cached, charge.tokens_out) == (1, 100, 40, 10)
    assert charge.money == pytest.approx((60 * 1.0 + 40 * 0.5 + 10 * 2.0) / 1e6)
    assert (charge.currency, charge.price_version) == ("USD", PRICE.version)
    assert not charge.estimated
    assert charge.seconds > 0
    assert endpoint.headers[0]["authorization"] == f"Bearer {CANARY}"


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
    ("answer", "sent"), [(failure(500, "oops"), 3), (failure(400, "bad"), 1), (failure(413, "no"), 1)]
)
def test_a_lasting_failure_of_one_request_is_a_reply(
    serve: Callable[..., ChatServer], answer: Answer, sent: int
) -> None:
    endpoint = serve(answer)
    (reply,) = ask(endpoint, price=PRICE)
    assert (reply.outcome, reply.text, len(endpoint.asked)) == (ReplyOutcome.FAILED, "", sent)
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
    assert (reply.outcome, len(endpoint.asked)) == (ReplyOutcome.FAILED, 2)


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


@pytest.mark.parametrize(
    "said",
    [
        completion(f"My key is {CANARY}.\nIt is {CANARY}."),
        completion(" " * (MOST_TEXT_BYTES - 9) + CANARY),
        completion(None, refusal=f"Not with {CANARY}" + "x" * 150 + CANARY),
        (200, {}, {**completion()[2], "model": "x" * 70 + CANARY}),
        (200, {}, {**completion()[2], "model": CANARY}),
        failure(400, "x" * 290 + CANARY),
        (400, {}, f"<p>{CANARY}</p>".encode()),
        (400, {}, b"x" * (256 * 1024 - 9) + CANARY.encode()),
    ],
)
def test_an_echoed_key_is_in_no_reply_not_even_a_part(serve: Callable[..., ChatServer], said: Answer) -> None:
    (reply,) = ask(serve(said), attempts=1)
    assert CANARY[:9] not in repr(reply)


def test_a_word_that_stands_for_no_key_stays_in_the_text(
    serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    (reply,) = ask(serve(completion("There are none.\n\nThe answer is 0.")))
    assert reply.text == "There are none.\n\nThe answer is 0."


def test_a_text_without_end_is_cut(serve: Callable[..., ChatServer]) -> None:
    (reply,) = ask(serve(completion("é" * 50_000)))
    assert (reply.outcome, reply.text) == (ReplyOutcome.TRUNCATED, "é" * (MOST_TEXT_BYTES // 2))
    assert str(MOST_TEXT_BYTES) in reply.reason


def test_all_that_is_to_be_said_of_a_reply_is_said(serve: Callable[..., ChatServer]) -> None:
    status, headers, body = completion("The ans", "length", usage=None)
    turned_down = failure(400, "Unsupported value: 'temperature' does not support 0.0 with this model.")
    (reply,) = ask(serve(turned_down, (status, headers, {**body, "model": "another"})))
    for part in ("max_tokens", "told no usage", "answered by 'another'", "turned down: sampling"):
        assert part in reply.reason


@pytest.mark.parametrize(
    ("tokens_in", "tokens_out", "total", "noted"),
    [(37, 5, 42, False), (37, 5, None, False), (37, 6, 43, True), (38, 5, 43, True), (10, 5, 99, True)],
)
def test_a_bill_above_the_reservation_is_noted(
    serve: Callable[..., ChatServer], tokens_in: int, tokens_out: int, total: int | None, noted: bool
) -> None:
    asked = request("y" * 21, sampling=Sampling(max_tokens=5))
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": total}
    (reply,) = ask(serve(completion(usage=usage)), asked)
    assert ("more than the 37 + 5 that were reserved" in reply.reason) is noted
    assert reply.charge.tokens_in + reply.charge.tokens_out == (total or tokens_in + tokens_out)


@pytest.mark.parametrize("body", [b"<html>nginx</html>", b'"' + b"x" * 5_000_000])
def test_a_good_status_without_a_completion_is_a_lost_reply(serve: Callable[..., ChatServer], body: bytes) -> None:
    endpoint = serve((200, {}, body))
    (reply,) = ask(endpoint)
    assert (reply.outcome, reply.text, len(endpoint.asked)) == (ReplyOutcome.LOST, "", 1)


def test_a_truncated_reply_keeps_its_text_and_is_paid_for(serve: Callable[..., ChatServer]) -> None:
    (reply,) = ask(serve(completion("The ans", "length")), price=PRICE)
    assert (reply.outcome, reply.text, reply.charge.tokens_out) == (ReplyOutcome.TRUNCATED, "The ans", 10)
    assert reply.charge.money > 0


def test_without_usage_the_worst_case_is_charged(serve: Callable[..., ChatServer]) -> None:
    asked = request("y" * 21, sampling=Sampling(max_tokens=9))
    (reply,) = ask(serve(completion("x" * 10, usage=None)), asked, price=PRICE)
    charge = reply.charge
    assert (charge.estimated, charge.tokens_in, charge.tokens_out) == (True, 37, 9)
    assert charge.money > 0


def test_without_usage_a_known_tokenizer_counts(serve: Callable[..., ChatServer], tmp_path: Path) -> None:
    known = AutoTokenizer.from_pretrained(str(tiny_model.save(tmp_path / "tiny")))
    asked = request("12 + 9 = 21. How many?", sampling=Sampling(max_tokens=64))
    text = "9 + 9 = 18.\nThe answer is 18."
    replies = [
        ask(serve(completion(text, usage=usage)), asked, price=PRICE, tokenizer=str(tmp_path / "tiny"))[0]
        for usage in (None, {"prompt_tokens": "many"})
    ]
    turns = [{"role": message.role, "content": message.content} for message in asked.messages]
    frame = known.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    for reply in replies:
        assert (reply.charge.tokens_in, reply.charge.tokens_out) == (len(frame), len(known(text)["input_ids"]) + 1)
        assert reply.charge.estimated
        assert "counted here" in reply.reason
        assert reply.charge.money == PRICE.money(tokens_in=len(frame), tokens_out=reply.charge.tokens_out)


def test_a_tokenizer_that_is_not_there_is_refused_when_opened(serve: Callable[..., ChatServer]) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.tokenizer: .*did you mean 'smollm2-135m'"):
        OpenAI(base_url=serve(completion()).base_url, model="m", tokenizer="smolm2-135m").open()


def test_after_the_iterator_is_closed_no_retry_is_sent(serve: Callable[..., ChatServer]) -> None:
    endpoint = serve(failure(500, "oops"))
    stopped = threading.Event()
    stopped.set()
    with opened(endpoint) as teacher:
        reply = call.Call(teacher, request(), stopped).reply()
    assert isinstance(reply, Reply)
    assert (reply.outcome, len(endpoint.asked)) == (ReplyOutcome.FAILED, 1)


def test_the_wait_before_a_retry_is_bounded(serve: Callable[..., ChatServer]) -> None:
    waits: list[float | None] = []

    class Told(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return False

    with opened(serve(failure(503, "later", **{"Retry-After": "999999"}))) as teacher:
        reply = call.Call(teacher, request(), Told()).reply()
    assert isinstance(reply, Reply)
    assert waits == [call.MOST_WAIT_SECONDS] * 2


def test_worst_case_bounds_bytes_and_prices_them(serve: Callable[..., ChatServer]) -> None:
    with opened(serve(completion()), price=PRICE) as teacher:
        plain = request("é" * 10, sampling=Sampling(max_tokens=7))
        assert teacher.worst_case(plain) == (36, 7, pytest.approx((36 * 1.0 + 7 * 2.0) / 1e6))
        assert teacher.worst_case(request("é" * 10, schema=SCHEMA))[0] > 36


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("cached", [None, 0.5, 1.0, 3.0])
def test_worst_case_bears_any_share_of_cached_tokens(
    serve: Callable[..., ChatServer], cached: float | None, batch: bool
) -> None:
    price = Price(input=1.0, cached_input=cached, output=2.0, batch_discount=0.5)
    with opened(serve(completion()), price=price) as teacher:
        teacher.link = replace(teacher.link, batch=batch)
        tokens_in, tokens_out, money = teacher.worst_case(request())
        most = teacher.most(request())
    tokens = {"tokens_in": tokens_in, "tokens_out": tokens_out, "batch": batch}
    dues = [price.money(tokens_cached=part, **tokens) for part in range(tokens_in + 1)]
    assert money == pytest.approx(max(dues))
    assert money == price.money(tokens_cached=most.tokens_cached, **tokens)


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


@pytest.mark.parametrize(("said", "noted"), [("m", False), ("m-2026-11-01", False), ("another", True), (7, False)])
def test_another_model_than_was_asked_for_is_noted(serve: Callable[..., ChatServer], said: object, noted: bool) -> None:
    status, headers, body = completion("4")
    (reply,) = ask(serve((status, headers, {**body, "model": said})))
    assert reply.outcome is ReplyOutcome.OK
    assert ("answered by 'another', asked was 'm'" in reply.reason) is noted
