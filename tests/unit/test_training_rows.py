"""What stands before a reply, for chat templates as they are found."""

from typing import Any

import pytest
import tiny_model

from elad.errors import StudentError
from elad.protocols import Prompt
from elad.records import Message
from elad.training.rows import encode_messages, encode_prompt

ASKED = (Message(role="user", content="1 + 1 = 2."),)
TURN = "<|{{ m.role }}|>{{ m.content }}<|end|>"
OPEN = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
TEMPLATES = {
    "plain": (f"{{% for m in messages %}}{TURN}{{% endfor %}}{OPEN}", None, "<|assistant|>"),
    "looks at the first message": (
        f"{{% if messages[0]['role'] != 'system' %}}<|system|>Help.<|end|>{{% endif %}}"
        f"{{% for m in messages %}}{TURN}{{% endfor %}}{OPEN}",
        None,
        "<|assistant|>",
    ),
    "begins every text": (
        f"<|system|>{{% for m in messages %}}{TURN}{{% endfor %}}{OPEN}", "<|system|>", "<|system|><|assistant|>"
    ),
    "begins every turn": (
        "{% for m in messages %}<|user|>{{ m.role }} {{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|user|>assistant {% endif %}",
        "<|user|>",
        "<|user|>assistant ",
    ),
    "has no mark of its own": (f"<|system|>{{% for m in messages %}}{TURN}{{% endfor %}}", "<|system|>", "<|system|>"),
}  # fmt: skip


def tokenizer(template: str | None, begin: str | None = None) -> Any:
    made = tiny_model.tokenizer()
    made.chat_template, made.bos_token = template, begin
    return made


@pytest.mark.parametrize(("template", "begin", "marker"), TEMPLATES.values(), ids=TEMPLATES)
def test_without_messages_the_mark_of_a_reply_is_left(template: str, begin: str | None, marker: str) -> None:
    ours = tokenizer(template, begin)
    ids = encode_messages(ours, ())
    assert ours.decode(ids) == marker
    assert ours.decode(encode_messages(ours, ASKED)).endswith(marker.removeprefix("<|system|>"))
    assert encode_prompt(ours, Prompt(messages=(), prefix="1 + 1")) == ids + ours("1 + 1")["input_ids"]


def test_without_a_template_it_is_the_end_of_a_paragraph() -> None:
    plain = tokenizer(None)
    assert plain.decode(encode_messages(plain, ())) == "\n\n"


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content }}{% endfor %}",
        "{% if add_generation_prompt %}Reply: {% endif %}{% for m in messages %}{{ m.content }}{% endfor %}",
    ],
    ids=["marks nothing", "marks it elsewhere"],
)
def test_a_template_that_marks_no_reply_is_refused_where_the_mark_is_needed(template: str) -> None:
    ours = tokenizer(template)
    assert encode_messages(ours, ASKED)
    with pytest.raises(StudentError, match="does not mark where a reply begins"):
        encode_messages(ours, ())
