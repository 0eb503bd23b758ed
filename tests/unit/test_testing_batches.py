import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Batch

from elad.records import digest
from elad.testing import BatchPlan, ChaosServer, ChaosTeacher
from elad.testing.batches import BatchDesk
from elad.testing.books import Bookkeeper, Books
from elad.testing.replies import Author, BadRequestError, as_json, digest_answer
from elad.testing.uploads import form_fields
from elad.testing.wire import HttpRequest

URL = "/v1/chat/completions"


def body(n: int) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": f"How much is {n} + {n}?"}]}


def line(n: int, **changes: Any) -> str:
    return json.dumps({"custom_id": f"q{n}", "method": "POST", "url": URL, "body": body(n), **changes})


@contextmanager
def connected(server: ChaosServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
        yield client


def submit(client: openai.OpenAI, content: str, **more: Any) -> Batch:
    stored = client.files.create(file=("in.jsonl", io.BytesIO(content.encode())), purpose="batch")
    return client.batches.create(input_file_id=stored.id, endpoint=URL, completion_window="24h", **more)


def poll(client: openai.OpenAI, batch: Batch, times: int) -> list[Batch]:
    return [client.batches.retrieve(batch.id) for _ in range(times)]


def results(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()] if file_id else []


def run(content: str, plan: BatchPlan | None = None, polls: int = 4) -> tuple[Batch, list[Any], list[Any], Books]:
    """The batch in the end, its results, its errors, and the books."""
    with ChaosTeacher(batches=[plan] if plan else []) as server, connected(server) as client:
        batch = submit(client, content)
        batch = poll(client, batch, polls)[-1]
        return batch, results(client, batch.output_file_id), results(client, batch.error_file_id), server.books


def test_a_batch_goes_on_by_polls_and_ends_with_a_result_for_each_line() -> None:
    lines = [line(n) for n in range(5)]
    with ChaosTeacher(price=(4.0, 8.0)) as server, connected(server) as client:
        batch = submit(client, "\n".join(lines) + "\n", metadata={"run": "a"})
        assert (batch.status, batch.metadata) == ("validating", {"run": "a"})
        polled = poll(client, batch, 5)
        done = polled[-1]
        found = results(client, done.output_file_id)
        books = server.books
    assert [b.status for b in polled] == ["validating", "in_progress", "finalizing", "completed", "completed"]
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (5, 5, 0)
    assert done.error_file_id is None
    order = [result["custom_id"] for result in found]
    assert sorted(order) == [f"q{n}" for n in range(5)]
    assert order != sorted(order)
    for result in found:
        asked = body(int(result["custom_id"][1:]))
        assert (result["response"]["status_code"], result["error"]) == (200, None)
        assert result["response"]["body"]["choices"][0]["message"]["content"] == digest_answer(asked["messages"])
        assert books.requests[digest(asked)].billed == 1
    usages = [result["response"]["body"]["usage"] for result in found]
    assert books.tokens_in == sum(usage["prompt_tokens"] for usage in usages)
    assert books.money == pytest.approx((2.0 * books.tokens_in + 4.0 * books.tokens_out) / 1e6)
    assert (books.arrived, books.billed, books.answered) == (5, 5, 5)


def test_the_polls_of_each_status_can_be_set() -> None:
    plan = BatchPlan(validating=0, in_progress=3, finalizing=0)
    with ChaosTeacher(batches=[plan]) as server, connected(server) as client:
        polled = poll(client, submit(client, line(0)), 4)
    assert [b.status for b in polled] == ["in_progress"] * 3 + ["completed"]


def test_partial_failures() -> None:
    lines = [line(0), line(1), line(2), line(3, body={"model": "m"})]
    batch, found, errors, books = run("\n".join(lines), BatchPlan(failing={0: 503}, missing=[1]))
    assert batch.status == "completed"
    assert [result["custom_id"] for result in found] == ["q2"]
    assert {result["custom_id"]: result["response"]["status_code"] for result in errors} == {"q0": 503, "q3": 400}
    assert all(result["response"]["body"]["error"]["message"] for result in errors)
    assert (books.arrived, books.billed, books.refused) == (4, 1, {503: 1, 400: 1})


def test_expiry_keeps_what_was_worked_off() -> None:
    batch, found, errors, books = run("\n".join(map(line, range(6))), BatchPlan(expires_after=2), polls=3)
    assert batch.status == "expired"
    assert (len(found), len(errors), books.billed) == (2, 4, 2)
    assert {result["error"]["code"] for result in errors} == {"batch_expired"}
    assert len({result["custom_id"] for result in found + errors}) == 6


@pytest.mark.parametrize(("polls", "kept"), [(0, 0), (1, 0), (2, 3), (3, 6)])
def test_cancelling_keeps_what_was_worked_off(polls: int, kept: int) -> None:
    with ChaosTeacher() as server, connected(server) as client:
        batch = submit(client, "\n".join(map(line, range(6))))
        poll(client, batch, polls)
        assert client.batches.cancel(batch.id).status == "cancelling"
        done = poll(client, batch, 2)[-1]
        assert done.status == "cancelled"
        assert len(results(client, done.output_file_id)) == server.books.billed == kept
        with pytest.raises(openai.BadRequestError, match="cancelled"):
            client.batches.cancel(batch.id)


@pytest.mark.parametrize(
    ("content", "code", "number"),
    [
        ("", "empty_file", None),
        (f"{line(0)}\nnot json", "invalid_json_line", 2),
        (f"{line(0)}\n\n{line(1)}", "invalid_json_line", 2),
        ("[1]", "invalid_json_line", 1),
        (f"{line(0)}\n{line(0)}", "duplicate_custom_id", 2),
        (line(0, custom_id=None), "missing_required_parameter", 1),
        (line(0, body=[]), "missing_required_parameter", 1),
        (line(0, url="/v1/embeddings"), "invalid_url", 1),
        (line(0, method="GET"), "invalid_url", 1),
    ],
)
def test_a_file_that_fails_validation(content: str, code: str, number: int | None) -> None:
    batch, found, errors, books = run(content, polls=2)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(error.code, error.line) for error in batch.errors.data or []] == [(code, number)]
    assert (found, errors, books.arrived) == ([], [], 0)


def test_a_batch_that_fails_by_plan_and_the_next_that_does_not() -> None:
    with ChaosTeacher(batches=[BatchPlan(fails=True)]) as server, connected(server) as client:
        first, second = (poll(client, submit(client, line(0)), 4)[-1] for _ in range(2))
        listed = [batch.id for batch in client.batches.list(limit=1)]
        newest = client.batches.list(limit=1, after=second.id).data
    assert (first.status, second.status) == ("failed", "completed")
    assert listed == [second.id, first.id]
    assert [batch.id for batch in newest] == [first.id]


def test_what_is_not_there_and_what_is_not_served() -> None:
    with ChaosTeacher() as server, connected(server) as client:
        stored = client.files.create(file=("in.jsonl", b"x"), purpose="batch")
        assert client.files.retrieve(stored.id).bytes == 1
        assert client.files.content(stored.id).content == b"x"
        for absent in (client.files.content, client.files.retrieve, client.batches.retrieve, client.batches.cancel):
            with pytest.raises(openai.NotFoundError):
                absent("none")
        with pytest.raises(openai.NotFoundError):
            client.get("/batches/a/b", cast_to=object)
        with pytest.raises(openai.BadRequestError):
            client.files.create(file=b"x", purpose="fine-tune")
        with pytest.raises(openai.BadRequestError):
            client.batches.create(input_file_id=stored.id, endpoint="/v1/embeddings", completion_window="24h")
        for broken in (b"", b"{}", b'{"endpoint": 1}'):
            assert httpx2.post(f"{server.base_url}/batches", content=broken, trust_env=False).status_code == 400
        assert httpx2.post(f"{server.base_url}/files", content=b"x", trust_env=False).status_code == 400


def test_an_answer_that_raises_fails_its_line_alone() -> None:
    def answer(messages: list[dict[str, Any]]) -> str:
        return {"How much is 1 + 1?": "2"}[messages[0]["content"]]

    with ChaosTeacher(answer=answer) as server, connected(server) as client:
        batch = poll(client, submit(client, f"{line(0)}\n{line(1)}"), 4)[-1]
        assert [result["custom_id"] for result in results(client, batch.output_file_id)] == ["q1"]
        assert [result["response"]["status_code"] for result in results(client, batch.error_file_id)] == [500]


@given(content=st.binary(), name=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1))
def test_uploads_arrive_byte_by_byte(content: bytes, name: str) -> None:
    sent = httpx2.Request("POST", "http://x/", files={"file": (name, content)}, data={"purpose": "batch"})
    fields = form_fields(sent.headers["content-type"], sent.read())
    assert fields == {"file": (name, content), "purpose": ("", b"batch")}


KINDS = ["multipart/form-data; boundary=x", "multipart/form-data", "text/plain; boundary=x", ""]


@given(kind=st.sampled_from(KINDS), sent=st.binary().filter(lambda sent: b"--" not in sent))
def test_what_is_no_form_is_refused(kind: str, sent: bytes) -> None:
    with pytest.raises(BadRequestError):
        form_fields(kind, sent)


LINES = st.integers(0, 9)


class Desk:
    """A batch desk without a network."""

    def __init__(self, plan: BatchPlan) -> None:
        self._keeper = Bookkeeper(None)
        self._desk = BatchDesk(Author(answer=digest_answer, price=(1, 2)), self._keeper, [plan], seed=0)

    @property
    def books(self) -> Books:
        return self._keeper.books()

    def ask(self, method: str, path: str, content: bytes = b"", kind: str = "") -> bytes:
        sent = HttpRequest(method=method, target=path, headers={"content-type": kind}, body=content)
        return self._desk.answer(sent, path).body

    def submit(self, content: str) -> str:
        form = httpx2.Request("POST", "http://x/", files={"file": content.encode()}, data={"purpose": "batch"})
        stored = json.loads(self.ask("POST", "/v1/files", form.read(), form.headers["content-type"]))
        asked = {"input_file_id": stored["id"], "endpoint": URL, "completion_window": "24h"}
        return f"/v1/batches/{json.loads(self.ask('POST', '/v1/batches', as_json(asked)))['id']}"

    def ids(self, file_id: str | None) -> list[str]:
        text = self.ask("GET", f"/v1/files/{file_id}/content") if file_id else b""
        return [json.loads(result)["custom_id"] for result in text.splitlines()]


@given(
    failing=st.dictionaries(LINES, st.sampled_from([400, 500])),
    missing=st.sets(LINES),
    expires_after=st.none() | LINES,
    cancelled_after=st.none() | st.integers(0, 2),
)
def test_no_line_is_accounted_for_twice(
    failing: dict[int, int], missing: set[int], expires_after: int | None, cancelled_after: int | None
) -> None:
    desk = Desk(BatchPlan(failing=failing, missing=missing, expires_after=expires_after))
    batch = desk.submit("\n".join(map(line, range(8))))
    for _ in range(6 if cancelled_after is None else cancelled_after):
        desk.ask("GET", batch)
    if cancelled_after is not None:
        desk.ask("POST", f"{batch}/cancel")
    done = json.loads(desk.ask("GET", batch))
    good, bad = desk.ids(done["output_file_id"]), desk.ids(done["error_file_id"])
    assert len({*good, *bad}) == len(good) + len(bad)
    assert desk.books.billed == desk.books.answered == len(good) == done["request_counts"]["completed"]
    assert {*good, *bad} <= {f"q{n}" for n in range(8) if n not in missing}
    if cancelled_after is None:
        assert len(good) + len(bad) == len(set(range(8)) - missing)
    if done["status"] == "completed":
        assert set(bad) == {f"q{n}" for n in failing if n not in missing and n < 8}
