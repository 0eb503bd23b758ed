"""Tokens counted by other means, for teachers that report none."""

# transformers leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import json
import threading
from collections.abc import Sequence
from dataclasses import replace

from elad.errors import ConfigError, StudentError
from elad.records import Message, Request

_BYTES_PER_TOKEN = 3


def estimate_tokens(text: str) -> int:
    """Tokens by rule: UTF-8 bytes divided by 3, rounded up. A charge that rests on it is `estimated`.

    Real rationales have 2.6 (formulas) to 4.8 (prose) bytes a token by the SmolLM2 tokenizer: the rule
    errs high for prose, so that a cap on tokens or money is rather reached too early than too late.
    """
    return -(-utf8_length(text) // _BYTES_PER_TOKEN)


def utf8_length(text: str) -> int:
    """Bytes of the text in UTF-8: no byte-level tokenizer makes more tokens of it."""
    return len(text.encode("utf-8", "surrogatepass"))


class TokenCounter:
    """Tokens of a call by a model's own tokenizer and chat template. Safe for many threads.

    Where the template takes no system turn, its words are counted as the beginning of the user's. Counting never
    fails: what the template will not frame, or the tokenizer not split, counts as its bytes.
    """

    def __init__(self, name: str) -> None:
        """`name` is a folder, a GGUF file or a known model, and lies on this machine; nothing is fetched.

        Raises: ConfigError where it does not, or its tokenizer cannot be loaded or has no chat template that works.
        """
        from elad.students.inspection import load_tokenizer
        from elad.students.models import on_disk

        try:
            path = on_disk(name)
            if path is None:
                raise StudentError(f"{name} is not on this machine; fetch it, or give its folder")
            self._tokenizer = load_tokenizer(path)
        except StudentError as error:
            raise ConfigError(f"teacher.tokenizer: {error}") from error
        if not self._tokenizer.chat_template:
            raise ConfigError(f"teacher.tokenizer: {path} has no chat template, by which a prompt's tokens are counted")
        self._lock = threading.Lock()
        self._folds = self._framed(_WITH_SYSTEM) is None
        if self._folds and self._framed(_folded(_WITH_SYSTEM)) is None:
            raise ConfigError(f"teacher.tokenizer: the chat template of {path} fails on a plain question")

    def tokens_in(self, request: Request) -> int:
        """Tokens of the conversation in the model's template; a schema counts as it is written."""
        asked = self._framed(_folded(request.messages) if self._folds else request.messages)
        schema = "" if request.schema is None else json.dumps(request.schema)
        if asked is None:
            return sum(utf8_length(message.content) for message in request.messages) + self._length(schema)
        return self._length(asked) + self._length(schema)

    def tokens_out(self, text: str) -> int:
        """Tokens of a reply, with the one that ends it."""
        return self._length(text) + 1

    def _framed(self, messages: Sequence[Message]) -> str | None:
        """The conversation in the template; None where that fails: it is a program that somebody else wrote."""
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            with self._lock:
                return self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        except Exception:
            return None

    def _length(self, text: str) -> int:
        try:
            with self._lock:
                return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        except Exception:  # as above
            return utf8_length(text)


_WITH_SYSTEM = (Message(role="system", content="Answer briefly."), Message(role="user", content="How much is 2 + 2?"))


def _folded(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation without system turns: what they say stands before what the user says first."""
    said = "\n\n".join(message.content for message in messages if message.role == "system")
    rest = [message for message in messages if message.role != "system"]
    if not said or not rest:
        return tuple(messages)
    return (replace(rest[0], content=f"{said}\n\n{rest[0].content}"), *rest[1:])
