import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.outcomes import ReplyOutcome
from elad.teachers.completion import Completion, Usage, read


def body(content: object = "4", finish: object = "stop", usage: object = None, **message: object) -> bytes:
    choice = {"finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


@pytest.mark.parametrize(
    ("data", "outcome", "text"),
    [
        (body("The ans", "length"), ReplyOutcome.TRUNCATED, "The ans"),
        (body("", "length"), ReplyOutcome.TRUNCATED, ""),
        (body(" \n"), ReplyOutcome.EMPTY, " \n"),
        (body(None), ReplyOutcome.EMPTY, ""),
        (body(None, refusal="I will not."), ReplyOutcome.REFUSED, ""),
        (body("x", "content_filter"), ReplyOutcome.REFUSED, "x"),
        (body("4", None), ReplyOutcome.OK, "4"),
    ],
)
def test_every_ending_has_its_outcome(data: bytes, outcome: ReplyOutcome, text: str) -> None:
    found = read(data)
    assert (found.outcome, found.text) == (outcome, text)
    assert bool(found.reason) == (outcome is not ReplyOutcome.OK)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        body(7),
        body(["a", "b"]),
        b"[" * 10_000,
        b"\xff\xfe",
        b'{"choices": [{"message": {"content": "\\ud800"}}]}',
    ],
)
def test_what_is_no_completion_is_refused_unquoted(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a chat completion") as caught:
        read(data)
    assert len(str(caught.value)) <= 200


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found: Completion | None = read(data)
    except ValueError:
        found = None
    assert found is None or found.text is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(usage=JSON | st.fixed_dictionaries({"prompt_tokens": JSON, "completion_tokens": JSON}))
def test_no_usage_field_loses_the_reply(usage: Any) -> None:
    found = read(body("4", usage=usage))
    assert found.text == "4"
    assert found.usage is None or min(found.usage.tokens_in, found.usage.tokens_out) > 0


def test_cached_tokens_are_part_of_those_that_went_in() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 99}}
    assert read(body(usage=usage)).usage == Usage(tokens_in=10, tokens_cached=10, tokens_out=2)
    usage["prompt_tokens_details"] = {"cached_tokens": None}
    assert read(body(usage=usage)).usage == Usage(tokens_in=10, tokens_cached=0, tokens_out=2)


@pytest.mark.parametrize(
    ("usage", "said", "believed"),
    [
        ((0, 0, 0), {}, False),
        ((0, 5, 5), {}, False),
        ((9, 0, 9), {}, False),
        ((9, 0, None), {"content": None, "refusal": "I will not."}, False),
        ((9, 0, 10), {}, True),
        ((9, 0, 9), {"content": ""}, True),
        ((9, 0, 9), {"content": None}, True),
    ],
)
def test_a_usage_that_cannot_be_is_none(
    usage: tuple[int, int, int | None], said: dict[str, str | None], believed: bool
) -> None:
    told = dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), usage, strict=True))
    assert (read(body(usage=told, **said)).usage is not None) is believed


@given(tokens_in=st.integers(1, 999), told=st.integers(1, 999), total=st.none() | st.integers(0, 2999))
def test_all_that_was_billed_beside_the_prompt_came_out(tokens_in: int, told: int, total: int | None) -> None:
    usage = {"prompt_tokens": tokens_in, "completion_tokens": told, "total_tokens": total}
    found = read(body(usage=usage)).usage
    assert found is not None
    assert found.tokens_in == tokens_in
    assert found.tokens_out == max(told, (total or 0) - tokens_in)
