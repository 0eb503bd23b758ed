"""A model's own tokenizer and template count, and whatever those do, no reply is lost over it."""

from pathlib import Path
from typing import Any

import pytest
import tiny_model
from transformers import AutoTokenizer

from elad.errors import ConfigError
from elad.outcomes import Purpose
from elad.records import Message, Problem, Request
from elad.teachers.counting import TokenCounter

NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + tiny_model.TEMPLATE
)
MOODY = "{% if '7' in messages[-1].content %}{{ raise_exception('not that') }}{% endif %}" + tiny_model.TEMPLATE


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("tiny"))


def counter(tiny: Path, folder: Path, template: str) -> tuple[TokenCounter, Any]:
    tokenizer = AutoTokenizer.from_pretrained(str(tiny))
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return TokenCounter(str(folder)), tokenizer


def request(*said: tuple[str, str]) -> Request:
    messages = tuple(Message(role=role, content=content) for role, content in said)
    return Request(problem=Problem(id="q", question="?"), purpose=Purpose.SOLVE, messages=messages)


def test_a_template_without_a_system_turn_counts_it_with_the_users(tiny: Path, tmp_path: Path) -> None:
    counts, tokenizer = counter(tiny, tmp_path, NO_SYSTEM)
    asked = request(("system", "Be brief."), ("user", "12 + 9?"), ("assistant", "21"), ("user", "Sure?"))
    turns = [("user", "Be brief.\n\n12 + 9?"), ("assistant", "21"), ("user", "Sure?")]
    framed = [{"role": role, "content": content} for role, content in turns]
    whole = tokenizer.apply_chat_template(framed, add_generation_prompt=True, return_dict=False)
    assert counts.tokens_in(asked) == len(whole)


def test_a_template_with_a_system_turn_is_used_as_it_is(tiny: Path, tmp_path: Path) -> None:
    counts, tokenizer = counter(tiny, tmp_path, tiny_model.TEMPLATE)
    asked = request(("system", "Be brief."), ("user", "12 + 9?"))
    turns = [{"role": message.role, "content": message.content} for message in asked.messages]
    whole = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert counts.tokens_in(asked) == len(whole)


def test_what_the_template_will_not_frame_counts_as_its_bytes(tiny: Path, tmp_path: Path) -> None:
    counts, _ = counter(tiny, tmp_path, MOODY)
    assert counts.tokens_in(request(("system", "é"), ("user", "7?"))) == 4


def test_what_the_tokenizer_will_not_split_counts_as_its_bytes(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, _ = counter(tiny, tmp_path, tiny_model.TEMPLATE)

    def fail(*_: object, **__: object) -> None:
        raise ValueError

    monkeypatch.setattr(counts, "_tokenizer", fail)
    assert counts.tokens_out("é") == 3


@pytest.mark.parametrize("template", ["{{ raise_exception('never') }}", "{% if %}"])
def test_a_template_that_always_fails_is_refused_when_opened(tiny: Path, tmp_path: Path, template: str) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.tokenizer: the chat template"):
        counter(tiny, tmp_path, template)
