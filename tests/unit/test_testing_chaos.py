import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from chaos_kit import FOREVER, QUESTION, body, connect, post, raw, read_all, text, until
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import ConfigError
from elad.records import digest
from elad.testing import ChaosServer, ChaosTeacher, Fault, read_log
from elad.testing.replies import Author, count_tokens, read_prompt


@pytest.fixture(scope="module")
def healthy() -> Iterator[ChaosServer]:
    with ChaosTeacher() as server:
        yield server


# In health


def test_a_completion_and_the_books() -> None:
    with ChaosTeacher(price=(10.0, 100.0), answer=lambda messages: f"You said: {messages[0]['content']}") as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0)
        done = client.chat.completions.create(model="m", messages=[{"role": "user", "content": QUESTION}])
        models = [model.id for model in client.models.list()]
        client.close()
    assert (done.model, done.choices[0].finish_reason) == ("m", "stop")
    assert done.choices[0].message.content == f"You said: {QUESTION}"
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (5, 7, 12)
    assert models == ["chaos"]
    books = server.books
    assert (books.arrived, books.billed, books.answered, books.tokens_in, books.tokens_out) == (1, 1, 1, 5, 7)
    assert (books.refused, books.faults, books.most_in_service) == ({}, {}, 1)
    assert books.money == pytest.approx((5 * 10 + 7 * 100) / 1e6)
    assert list(books.requests) == [digest(body())]


def test_the_same_question_gets_the_same_answer(healthy: ChaosServer) -> None:
    assert post(healthy).content == post(healthy).content
    assert text(post(healthy)) != text(post(healthy, body("another")))


@given(words=st.text(), most=st.integers(1, 40))
def test_a_reply_is_no_longer_than_was_asked(words: str, most: int) -> None:
    done = Author(answer=lambda _: words, price=(1, 2)).write(read_prompt(body(max_tokens=most)))
    (choice,) = json.loads(done.body)["choices"]
    assert done.tokens_out == count_tokens(choice["message"]["content"]) <= most
    assert words.startswith(choice["message"]["content"])
    assert (choice["finish_reason"] == "length") == (count_tokens(words) > most)


def test_the_reasoning_models_name_for_the_limit_is_known(healthy: ChaosServer) -> None:
    for sent in (body(max_tokens=2), body(max_completion_tokens=2)):
        reply = post(healthy, sent).json()
        assert (reply["choices"][0]["finish_reason"], reply["usage"]["completion_tokens"]) == ("length", 2)


def test_only_the_key_is_let_in() -> None:
    with ChaosTeacher(api_key="right") as server:
        assert post(server, Authorization="Bearer right").status_code == 200
        assert [post(server).status_code, post(server, Authorization="Bearer wrong").status_code] == [401, 401]
        assert httpx2.get(f"{server.base_url}/models", trust_env=False).status_code == 401
        assert (server.books.refused, server.books.billed) == ({401: 2}, 1)


# Idempotency


@pytest.mark.parametrize("fault", [None, Fault.RESET, Fault.TRUNCATED_JSON, Fault.NO_USAGE])
def test_a_known_key_gets_the_same_body_and_costs_nothing(fault: Fault | None) -> None:
    with ChaosTeacher(script=[fault], idempotent=True) as server:
        try:
            first = post(server, Idempotency_Key="a")
        except httpx2.ReadError:
            first = None
        second, third = post(server, Idempotency_Key="a"), post(server, Idempotency_Key="a")
        books = server.books
    assert second.content == third.content
    if first and fault is not Fault.TRUNCATED_JSON:
        assert first.content == second.content
    assert ("usage" in second.json()) == (fault is not Fault.NO_USAGE)
    assert second.headers["idempotent-replayed"] == "true"
    assert (books.arrived, books.billed, books.replayed) == (3, 1, 2)


def test_a_refused_request_leaves_its_key_free_and_another_content_is_refused() -> None:
    with ChaosTeacher(script=[Fault.SERVER_ERROR], idempotent=True) as server:
        assert [post(server, Idempotency_Key="a").status_code for _ in range(2)] == [500, 200]
        assert post(server, body("another"), Idempotency_Key="a").status_code == 400
        assert post(server, body("another"), Idempotency_Key="b").status_code == 200
        assert (server.books.billed, server.books.replayed) == (2, 0)


def test_without_the_setting_keys_mean_nothing(healthy: ChaosServer) -> None:
    before = healthy.books.billed
    assert all("idempotent-replayed" not in post(healthy, Idempotency_Key="a").headers for _ in range(2))
    assert healthy.books.billed == before + 2


# Limits


@pytest.mark.parametrize("tells", [True, False])
def test_the_excess_over_the_limit_is_turned_away_until_a_place_is_free(tells: bool) -> None:
    script = [Fault.SLOW, Fault.SLOW]
    with ChaosTeacher(script=script, slow_seconds=FOREVER, limit=2, limits_tell=tells) as server:
        waiting = [connect(server) for _ in script]
        for connection in waiting:
            connection.sendall(raw(body()))
        until(lambda: server.books.billed == 2)
        away = post(server)
        assert away.status_code == 429
        assert ("retry-after" in away.headers) == tells
        waiting[0].close()
        until(lambda: post(server).is_success)
        waiting[1].close()
        books = server.books
    assert books.most_in_service == 2
    assert books.refused[429] == books.arrived - 3


def test_the_rate_limit_is_told_as_openai_tells_it() -> None:
    with ChaosTeacher(requests_per_second=0.001) as server:
        first, second = post(server), post(server)
    assert (first.status_code, second.status_code) == (200, 429)
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert first.headers["x-ratelimit-reset-requests"] == "16m40s"
    assert 0 < float(second.headers["retry-after"]) <= 1000


# Robustness


def test_garbage_gets_a_400(healthy: ChaosServer) -> None:
    with connect(healthy) as connection:
        connection.sendall(b"\x00\x01 garbage\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400")
    assert post(healthy).status_code == 200


VALUES = st.recursive(st.none() | st.text() | st.integers(), st.lists)


@given(sent=st.binary(min_size=1) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_bodies_that_are_no_chat_request_get_a_400(healthy: ChaosServer, sent: bytes) -> None:
    assert post(healthy, sent).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [{"messages": []}, {"messages": ["x"]}, {"model": None}, {"stream": True}, {"max_tokens": 0}, {"max_tokens": "9"}],
)
def test_chat_requests_that_are_not_served_get_a_400(healthy: ChaosServer, wrong: dict[str, Any]) -> None:
    reply = post(healthy, body() | wrong)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, next(iter(wrong)))


def test_deep_nesting_and_lone_surrogates_do_no_harm(healthy: ChaosServer) -> None:
    assert post(healthy, b"[" * 100_000).status_code == 400
    assert post(healthy, b'{"a":' * 900 + b"1" + b"}" * 900).status_code == 400
    assert post(healthy, body("\ud800")).status_code == 200


def test_other_addresses_and_methods(healthy: ChaosServer) -> None:
    with httpx2.Client(trust_env=False) as client:
        assert client.get(f"{healthy.base_url}/chat/completions").status_code == 404
        assert client.get(f"{healthy.base_url}/nowhere").status_code == 404
        assert client.head(f"{healthy.base_url}/models").status_code == 405


def test_a_client_that_waits_for_leave_to_send(healthy: ChaosServer) -> None:
    head, end, content = raw(body(), b"Expect: 100-continue", b"Connection: close").partition(b"\r\n\r\n")
    with connect(healthy) as connection:
        connection.sendall(head + end)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(content)
        assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_a_client_that_goes_away_in_mid_request(healthy: ChaosServer) -> None:
    with connect(healthy) as connection:
        connection.sendall(raw(body())[:-5])
    assert post(healthy).status_code == 200


def test_an_answer_that_raises_is_a_500_and_not_billed() -> None:
    def answer(messages: object) -> str:
        raise ValueError("no idea")

    with ChaosTeacher(answer=answer) as server:
        reply = post(server)
        assert (reply.status_code, server.books.billed) == (500, 0)
    assert "no idea" in reply.json()["error"]["message"]


def test_closing_ends_everything() -> None:
    threads = set(threading.enumerate())
    with ChaosTeacher(script=[Fault.SLOW], slow_seconds=FOREVER) as server:
        idle, waiting = connect(server), connect(server)
        waiting.sendall(raw(body()))
        until(lambda: server.books.billed == 1)
    assert set(threading.enumerate()) <= threads
    for connection in (idle, waiting):
        with suppress(ConnectionResetError):
            assert connection.recv(10) == b""
        connection.close()
    with pytest.raises(httpx2.ConnectError):
        post(server)
    server.close()


def test_a_port_that_is_taken(healthy: ChaosServer) -> None:
    port = httpx2.URL(healthy.base_url).port
    with pytest.raises(OSError, match="in use"):
        ChaosTeacher(port=port or 0).open()


@pytest.mark.parametrize(
    "wrong",
    [
        {"faults": {Fault.SLOW: 1.5}}, {"faults": -0.1}, {"faults": {Fault.SLOW: 0.6, Fault.STALL: 0.6}},
        {"latency_ms": -1}, {"slow_seconds": float("nan")}, {"limit": 0}, {"requests_per_second": 0.0},
    ],
)  # fmt: skip
def test_unusable_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ChaosTeacher(**wrong).open()


# As a process


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "elad.testing.chaos", *arguments]


def test_the_process_serves_until_it_is_told_to_stop_and_its_log_is_the_truth(tmp_path: Path) -> None:
    log = tmp_path / "books.jsonl"
    arguments = command("--seed", "3", "--limit", "4", "--latency-ms", "1", "--idempotent", "--log", str(log))
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx2.Client(base_url=url, trust_env=False) as client:
            for _ in range(2):
                assert client.post("/chat/completions", json=body(), headers={"Idempotency-Key": "k"}).is_success
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == 0
    books = read_log(log)
    assert (books.arrived, books.billed, books.replayed, books.answered) == (2, 1, 1, 2)


def test_the_process_refuses_an_impossible_share() -> None:
    done = subprocess.run(command("--faults", "1.5"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "chaos.faults" in done.stderr
