"""The files of the batch protocol, whatever is in them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.teachers.batch_lines import Results, input_keys, input_line
from elad.teachers.batch_record import Record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
LINES = st.fixed_dictionaries(
    {},
    optional={
        "custom_id": st.sampled_from(["a", "b", "", 7, None]),
        "response": JSON | st.fixed_dictionaries({"status_code": st.sampled_from([200, 400, "200"]), "body": JSON}),
        "error": JSON | st.fixed_dictionaries({"code": JSON, "message": JSON}),
    },
)


def good(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": None}


def line(name: str, status: int, body: object) -> bytes:
    return json.dumps({"custom_id": name, "response": {"status_code": status, "body": body}, "error": None}).encode()


def taken(*lines: bytes) -> Results:
    results = Results()
    results.add(b"\n".join(lines))
    return results


@given(st.lists(st.binary() | LINES.map(lambda one: json.dumps(one).encode())))
def test_whatever_comes_is_read_or_counted(lines: list[bytes]) -> None:
    results = taken(*lines)
    rest = taken(*lines, line("fine", 200, good("4")))
    assert rest.good["fine"].text == "4"
    assert (rest.unreadable, {*results.refused}) == (results.unreadable, {*rest.refused})


def test_each_line_is_what_it_says() -> None:
    error = {"custom_id": "d", "response": None, "error": {"code": "batch_expired", "message": "too late"}}
    results = taken(
        line("a", 200, good("4")), line("a", 200, good("5")), line("b", 429, {"error": {"message": "slow down"}}),
        line("c", 200, {"choices": []}), json.dumps(error).encode(), b"{", b"", line("e", 500, "<html>"),
        json.dumps(error | {"custom_id": "f", "error": {"code": 7, "message": "odd"}}).encode(),
    )  # fmt: skip
    assert {name: one.text for name, one in results.good.items()} == {"a": "4"}
    assert {name: one.reason for name, one in results.refused.items()} == {
        "b": "Error code: 429 - slow down",
        "e": "Error code: 500 - without a reason",
        "f": "odd",
    }
    assert list(results.garbled) == ["c"]
    assert (results.unstarted, results.unreadable) == ({"d": "too late"}, 1)


def test_a_refused_line_tells_which_field_was_wrong() -> None:
    error = {"message": "no", "param": "temperature", "code": "unsupported_value"}
    refused = taken(line("a", 400, {"error": error}), line("b", 400, {"error": {"param": 7}})).refused
    assert (refused["a"].param, refused["a"].code) == ("temperature", "unsupported_value")
    assert (refused["b"].param, refused["b"].code) == (7, None)


@given(keys=st.lists(st.text(st.characters(codec="utf-8")), unique=True), text=st.text(st.characters(codec="utf-8")))
def test_the_keys_of_an_input_file_are_read_back(keys: list[str], text: str) -> None:
    content = b"".join(input_line(key, {"model": "m", "text": text}) for key in keys)
    assert content.count(b"\n") == len(keys)
    assert input_keys(content) == set(keys)


@pytest.mark.parametrize("content", [b"{}", b"<html>", b'{"custom_id": 1}', b"\xff"])
def test_an_input_file_that_is_damaged_is_no_list_of_keys(content: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        input_keys(content)


def test_the_record_keeps_the_batches_of_each_endpoint_apart(tmp_path: Path) -> None:
    here, there = Record(tmp_path / "cache", "here"), Record(tmp_path / "cache", "there")
    assert here.done() == frozenset()
    here.add("batch_1\n")
    there.add("batch_2")
    assert here.name("batch_1\n") in here.done() == there.done()
    assert there.name("batch_1\n") not in here.done()


def test_a_record_that_cannot_be_kept_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    record = Record(tmp_path / "file", "here")
    record.add("batch_1")
    assert record.done() == frozenset()
