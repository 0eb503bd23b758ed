import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elad.errors import ConfigError, StudentError
from elad.outcomes import Purpose, ReplyOutcome
from elad.protocols import Teacher
from elad.records import Message, Problem, Request, Sampling
from elad.teachers.llamacpp import LlamaCpp

pytest.importorskip("xllamacpp", reason="needs the extra llamacpp")
MODELS = Path(os.environ.get("ELAD_MODELS") or Path.home() / ".cache" / "elad-models")
SCHEMA = {
    "type": "object",
    "properties": {"correct": {"type": "boolean"}, "reason": {"type": "string", "maxLength": 20}},
    "required": ["correct", "reason"],
    "additionalProperties": False,
}


def request(question: str, seed: int = 0, max_tokens: int = 12, **changes: Any) -> Request:
    return Request(
        problem=Problem(id="q", question=question),
        purpose=Purpose.SOLVE,
        messages=(Message(role="user", content=question),),
        sampling=Sampling(max_tokens=max_tokens),
        seed=seed,
        **changes,
    )


@pytest.fixture(scope="module")
def teacher() -> Iterator[Teacher]:
    path = MODELS / "smollm2-135m.gguf"
    if not path.is_file():
        pytest.skip(f"needs {path.name} in the model cache")
    opened = LlamaCpp(model=str(path), concurrency=2, context=512).open()
    yield opened
    opened.close()


@pytest.mark.model
def test_a_real_model_answers_and_is_counted(teacher: Teacher) -> None:
    asked = [request(f"How much is {n} + {n}?") for n in range(3)]
    replies = {reply.request: reply for reply in teacher.ask(asked)}
    assert set(replies) == {one.key for one in asked}
    for reply in replies.values():
        assert reply.outcome in (ReplyOutcome.OK, ReplyOutcome.TRUNCATED)
        assert reply.text
        assert 0 < reply.charge.tokens_out <= 12
        assert reply.charge.tokens_in > 5
        assert (reply.charge.money, reply.charge.currency, reply.charge.estimated) == (0.0, None, False)
    assert teacher.id.startswith("llamacpp:smollm2-135m:")


@pytest.mark.model
def test_a_schema_binds_the_reply(teacher: Teacher) -> None:
    (reply,) = teacher.ask([request("Is 2 + 2 = 5 correct? Reply in JSON.", max_tokens=80, schema=SCHEMA)])
    assert reply.outcome is ReplyOutcome.OK
    assert set(json.loads(reply.text)) == {"correct", "reason"}


@pytest.mark.model
def test_a_shared_prefix_is_not_read_twice(teacher: Teacher) -> None:
    prefix = "You are a careful teacher of arithmetic. " * 20
    for question in ("How much is 2 + 3?", "How much is 5 + 7?"):
        (reply,) = teacher.ask([request(prefix + question)])
    assert reply.charge.tokens_cached > 100


@pytest.mark.model
def test_a_request_beyond_the_context_fails_alone(teacher: Teacher) -> None:
    replies = list(teacher.ask([request("x y z " * 1000), request("Say hello.")]))
    outcomes = sorted(reply.outcome is ReplyOutcome.REJECTED for reply in replies)
    assert outcomes == [False, True]
    assert any("context" in reply.reason for reply in replies)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ConfigError, match=r"cut\.gguf"):
        LlamaCpp(model=str(path)).open()


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(StudentError, match="no-such-model"):
        LlamaCpp(model="no-such-model").open()


@pytest.mark.parametrize("setting", ["concurrency", "context", "threads"])
def test_unusable_settings_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting):
        LlamaCpp(model="m", **{setting: 0})
