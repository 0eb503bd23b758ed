import json
from contextlib import closing, suppress

import httpx2
import pytest
from chaos_kit import FOREVER, QUESTION, body, connect, post, raw, read_all, text

from elad.errors import TeacherError
from elad.outcomes import Purpose, ReplyOutcome
from elad.records import Message, Problem, Request, digest
from elad.teachers.openai import OpenAI
from elad.testing import TRANSIENT, Changes, ChaosTeacher, Fault

SOON = 0.2
"""A client's time-out against a server that is silent forever, in seconds."""
REFUSED = {
    Fault.RATE_LIMIT: 429,
    Fault.RATE_LIMIT_BARE: 429,
    Fault.SERVER_ERROR: 500,
    Fault.BAD_GATEWAY: 502,
    Fault.UNAVAILABLE: 503,
    Fault.HTML_ERROR: 502,
    Fault.AUTH_EXPIRED: 401,
    Fault.CONTEXT_LENGTH: 400,
}


# Faults, as a client sees them


@pytest.mark.parametrize("fault", REFUSED)
def test_a_refused_request_is_not_billed_and_the_next_one_is_served(fault: Fault) -> None:
    with ChaosTeacher(script=[fault], retry_after_seconds=0.25) as server:
        first, second = post(server), post(server)
        books = server.books
    assert (first.status_code, second.status_code) == (REFUSED[fault], 200)
    assert first.headers.get("retry-after") == ("0.25" if fault is Fault.RATE_LIMIT else None)
    assert (books.billed, books.answered, books.refused, books.faults) == (1, 1, {REFUSED[fault]: 1}, {fault: 1})
    if fault is not Fault.HTML_ERROR:
        assert first.json()["error"]["message"]


def test_html() -> None:
    with ChaosTeacher(script=[Fault.HTML_OK, Fault.HTML_ERROR]) as server:
        replies = [post(server), post(server)]
        assert (server.books.billed, server.books.answered) == (0, 0)
    assert [(reply.status_code, reply.headers["content-type"]) for reply in replies] == [
        (200, "text/html"),
        (502, "text/html"),
    ]
    assert all(reply.text.startswith("<html>") for reply in replies)


@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.STALL])
def test_a_silent_server_runs_into_the_time_out(fault: Fault) -> None:
    with ChaosTeacher(script=[fault], slow_seconds=FOREVER, stall_seconds=FOREVER) as server:
        with pytest.raises(httpx2.ReadTimeout):
            post(server, timeout=SOON)
        assert post(server).status_code == 200
        assert (server.books.billed, server.books.answered, server.books.faults) == (2, 1, {fault: 1})


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault.STALL, httpx2.RemoteProtocolError), (Fault.RESET, httpx2.ReadError)]
)
def test_a_reply_that_breaks_off(fault: Fault, error: type[Exception]) -> None:
    with ChaosTeacher(script=[fault], stall_seconds=0.0) as server:
        with pytest.raises(error):
            post(server)
        assert post(server).status_code == 200
        assert (server.books.billed, server.books.answered) == (2, 1)


def test_a_slow_first_byte_is_whole_in_the_end() -> None:
    with ChaosTeacher(script=[Fault.SLOW], slow_seconds=0.001) as server:
        assert text(post(server)) == text(post(server))
        assert server.books.answered == 2


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault.TRUNCATED_JSON, json.JSONDecodeError), (Fault.INVALID_UTF8, UnicodeDecodeError)]
)
def test_bytes_that_cannot_be_read(fault: Fault, error: type[Exception]) -> None:
    with ChaosTeacher(script=[fault]) as server:
        reply = post(server)
        assert reply.status_code == 200
        with pytest.raises(error):
            json.loads(reply.content)
        assert (server.books.billed, server.books.answered) == (1, 0)


def test_flaws_in_the_completion() -> None:
    script = [
        Fault.WRONG_SCHEMA, Fault.EMPTY_CHOICES, Fault.LENGTH, Fault.CONTENT_FILTER, Fault.REFUSAL,
        Fault.NO_USAGE, Fault.WRONG_MODEL, Fault.PRICE_CHANGE, None,
    ]  # fmt: skip
    with ChaosTeacher(script=script) as server:
        replies = [post(server).json() for _ in script]
        books = server.books
    schema, empty, length, blocked, refusal, unused, model, dear, whole = replies
    full = whole["choices"][0]["message"]["content"]
    assert "choices" not in schema
    assert empty["choices"] == []
    for cut, finish in ((length, "length"), (blocked, "content_filter")):
        assert cut["choices"][0]["finish_reason"] == finish
        assert cut["choices"][0]["message"]["content"] == full[: len(full) // 2]
    assert refusal["choices"][0]["message"]["content"] is None
    assert refusal["choices"][0]["message"]["refusal"]
    assert "usage" not in unused
    assert (model["model"], whole["model"]) == ("not-m", "m")
    assert dear["usage"]["x_price"] == {name: 2 * price for name, price in whole["usage"]["x_price"].items()}
    assert (books.billed, books.answered) == (len(script), len(script) - 2)


def test_a_duplicate_is_two_whole_replies_on_one_connection() -> None:
    with ChaosTeacher(script=[Fault.DUPLICATE]) as server, connect(server) as connection:
        connection.sendall(raw(body("one")) + raw(body("two"), b"Connection: close"))
        got = read_all(connection)
        assert (server.books.billed, server.books.answered) == (2, 2)
    first, second, third = got.split(b"HTTP/1.1 200 \r\n")[1:]
    assert first == second
    assert digest(body("one")["messages"])[:4].encode() in first
    assert digest(body("two")["messages"])[:4].encode() in third


def test_a_huge_reply() -> None:
    with ChaosTeacher(script=[Fault.HUGE]) as server:
        huge, whole = post(server), post(server)
    assert len(huge.content) > 30_000_000
    assert text(huge).endswith(text(whole))
    assert huge.json()["usage"] == whole.json()["usage"]


def test_what_changes_for_good() -> None:
    changes = Changes(auth_ends_after=4, price_changes_after=1, context_tokens=7, context_shrinks_by=1, context_least=5)
    with ChaosTeacher(changes=changes) as server:
        first, second, third, fourth, fifth = (post(server, body("x" * 4 * size)) for size in (7, 6, 6, 5, 1))
        books = server.books
    assert [reply.status_code for reply in (first, second, third, fourth, fifth)] == [200, 200, 400, 200, 401]
    assert third.json()["error"]["code"] == "context_length_exceeded"
    assert "maximum context length is 5 tokens" in third.json()["error"]["message"]
    prices = [reply.json()["usage"]["x_price"]["input"] for reply in (first, second, fourth)]
    assert prices == [1.0, 2.0, 2.0]
    out = [reply.json()["usage"]["completion_tokens"] for reply in (first, second, fourth)]
    assert books.money == pytest.approx((7 + 2 * out[0] + 2 * (6 + 2 * out[1]) + 2 * (5 + 2 * out[2])) / 1e6)


# Faults, as elad's own teacher takes them

OUTCOMES = {
    **dict.fromkeys((Fault.RATE_LIMIT, Fault.RATE_LIMIT_BARE, Fault.DUPLICATE), ReplyOutcome.OK),
    **dict.fromkeys((Fault.NO_USAGE, Fault.WRONG_MODEL, Fault.PRICE_CHANGE), ReplyOutcome.OK),
    **dict.fromkeys((Fault.REFUSAL, Fault.CONTENT_FILTER), ReplyOutcome.REFUSED),
    Fault.LENGTH: ReplyOutcome.TRUNCATED,
    Fault.CONTEXT_LENGTH: ReplyOutcome.REJECTED,
}
"""All others fail, or are lost after they were billed."""


def elad_request() -> Request:
    message = Message(role="user", content=QUESTION)
    return Request(problem=Problem(id="q", question=QUESTION), purpose=Purpose.SOLVE, messages=(message,))


@pytest.mark.parametrize("fault", Fault)
def test_elads_teacher_neither_crashes_nor_hangs(fault: Fault) -> None:
    teacher = ChaosTeacher(script=[fault], slow_seconds=FOREVER, stall_seconds=FOREVER, retry_after_seconds=0.0)
    with teacher as server:
        silent = fault in (Fault.SLOW, Fault.STALL)
        teacher = OpenAI(base_url=server.base_url, model="m", attempts=1, timeout_seconds=SOON if silent else 30).open()
        with closing(teacher):
            if fault is Fault.AUTH_EXPIRED:
                with pytest.raises(TeacherError, match="401"):
                    list(teacher.ask([elad_request()]))
            else:
                (reply,) = teacher.ask([elad_request()])
                expected = {OUTCOMES[fault]} if fault in OUTCOMES else {ReplyOutcome.FAILED, ReplyOutcome.LOST}
                assert reply.outcome in expected
        assert server.books.faults == {fault: 1}


# By seed


def statuses(seed: int, order: list[int]) -> dict[int, list[int]]:
    shares = {Fault.SERVER_ERROR: 0.3, Fault.UNAVAILABLE: 0.3}
    found: dict[int, list[int]] = {}
    with ChaosTeacher(seed=seed, faults=shares) as server:
        for number in order:
            found.setdefault(number, []).append(post(server, body(str(number))).status_code)
    return found


def test_the_same_seed_gives_the_same_faults_in_any_order() -> None:
    there = statuses(1, [*range(6), *range(6)])
    back = statuses(1, [n for n in reversed(range(6)) for _ in range(2)])
    assert there == back
    assert len({status for found in there.values() for status in found}) > 1
    assert statuses(2, [*range(6), *range(6)]) != there


def test_one_number_is_spread_over_what_passes() -> None:
    with ChaosTeacher(faults=1.0, slow_seconds=0.0, stall_seconds=0.0) as server:
        for number in range(150):
            with suppress(httpx2.TransportError):
                post(server, body(str(number)))
        assert set(server.books.faults) == TRANSIENT
