"""The record of what an endpoint bears: written by the doctor, used by runs, and never trusted blindly."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from doctor_kit import CANARY, MODEL, able, line, looked, refuses
from hypothesis import given
from hypothesis import strategies as st

from elad.outcomes import Purpose, ReplyOutcome
from elad.records import Message, Problem, Request
from elad.teachers.batch_api import BatchApi
from elad.teachers.capabilities import KEPT_DAYS, Capabilities, keep, known, place
from elad.teachers.endpoint import Concession
from elad.teachers.openai import OpenAI
from elad.testing import ChaosTeacher

URL = "http://127.0.0.1:9/v1"
SCHEMA = {"type": "object", "properties": {"legs_of_it": {"type": "integer"}}}


def record(**changes: Any) -> Capabilities:
    fields: dict[str, Any] = {
        "address": URL,
        "model": MODEL,
        "at": datetime.now(UTC),
        "elad": "0.1.0",
        "conceded": (Concession.SCHEMA,),
        **changes,
    }
    return Capabilities(**fields)


def conceded(base_url: str) -> tuple[Concession, ...] | None:
    found = known(base_url, MODEL)
    return found and found.conceded


def asked(question: str) -> Request:
    return Request(
        problem=Problem(id="q", question=question),
        purpose=Purpose.JUDGE,
        messages=(Message(role="user", content=question),),
        schema=SCHEMA,
    )


def test_a_run_starts_with_what_the_doctor_learnt() -> None:
    with able(refuses("response_format")) as server:
        looked(server.base_url)
        refused = len(server.asked)
        with line(server.base_url) as endpoint:
            (reply,) = endpoint.ask([asked("How many legs?")])
        assert len(server.asked) == refused + 1
        assert "response_format" not in server.asked[-1]
        with line(server.base_url, "another") as endpoint:
            list(endpoint.ask([asked("How many legs?")]))
        assert len(server.asked) == refused + 3
    assert reply.outcome is ReplyOutcome.OK
    assert "schema" in reply.reason


@pytest.mark.parametrize("channel", ["live", "batch"])
@pytest.mark.parametrize(("context", "warned"), [(None, False), (100, True), (700, True), (1300, False)])
def test_a_run_warns_once_of_what_does_not_fit_the_context_that_the_doctor_found(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    channel: Literal["live", "batch"],
    context: int | None,
    warned: bool,
) -> None:
    monkeypatch.setattr(BatchApi, "pause", lambda *_: None)
    with ChaosTeacher() as server:
        keep(record(address=server.base_url, context=context))
        teacher = OpenAI(base_url=server.base_url, model=MODEL, channel=channel).open()
        replies = list(teacher.ask(replace(asked("How many legs? " * 200), seed=n, schema=None) for n in range(3)))
        teacher.close()
    assert [reply.outcome for reply in replies] == [ReplyOutcome.OK] * 3
    assert [f"its context of {context}" in note for note in caplog.messages] == [True] * warned


def test_the_doctor_itself_starts_afresh() -> None:
    with able() as server:
        keep(record(address=server.base_url, conceded=tuple(Concession)))
        found = looked(server.base_url)
    assert found.capabilities
    assert found.capabilities.conceded == ()
    assert conceded(server.base_url) == ()


def test_an_endpoint_that_does_not_answer_leaves_the_record_as_it_was() -> None:
    with able(refuses("model", status=500)) as server:
        keep(record(address=server.base_url))
        looked(server.base_url)
        assert conceded(server.base_url) == (Concession.SCHEMA,)


@pytest.mark.parametrize(("days", "used"), [(0, True), (KEPT_DAYS - 1, True), (KEPT_DAYS + 1, False), (-400, False)])
def test_a_record_grows_old(days: int, used: bool) -> None:
    keep(record())
    assert (known(URL, MODEL, now=datetime.now(UTC) + timedelta(days=days)) is not None) is used


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"address": 1}', b"[" * 50_000, b" " * 70_000, b'{"extra": "\\ud800"}'],
)
def test_a_damaged_record_is_ignored_and_said_to_be(damaged: bytes, caplog: pytest.LogCaptureFixture) -> None:
    place(URL, MODEL).parent.mkdir(parents=True)
    place(URL, MODEL).write_bytes(damaged)
    assert known(URL, MODEL) is None
    (note,) = caplog.messages
    assert str(place(URL, MODEL)) in note
    assert "elad doctor" in note


@pytest.mark.parametrize(
    "change", [{"conceded": ["moon"]}, {"at": "yesterday"}, {"at": "2026-01-01T00:00:00"}, {"new": 1}]
)
def test_a_record_with_strange_fields_is_damaged(change: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    path = keep(record())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert known(URL, MODEL) is None
    assert len(caplog.messages) == 1


def test_a_record_of_another_endpoint_in_the_same_place_is_not_taken() -> None:
    keep(record()).rename(place(URL, "other"))
    assert known(URL, "other") is None


@given(
    kinds=st.sets(st.sampled_from(list(Concession))),
    context=st.none() | st.integers(1, 2**31),
    model=st.text(st.characters(codec="utf-8"), max_size=40),
)
def test_what_is_kept_is_known(kinds: set[Concession], context: int | None, model: str) -> None:
    kept = record(conceded=tuple(sorted(kinds)), context=context, model=model)
    keep(kept)
    assert known(URL, model) == kept


def test_no_key_is_in_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with able(refuses("seed", message=CANARY)) as server:
        looked(server.base_url)
        assert CANARY not in place(server.base_url, MODEL).read_text()
