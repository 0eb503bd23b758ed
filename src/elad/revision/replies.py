"""Reading a judge's JSON out of whatever a teacher wrote around it.

A reply is untrusted: its length is bounded before it is parsed, and what cannot be read for
certain is an `Unreadable`, never a default.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar, cast

from elad.outcomes import Purpose
from elad.revision.texts import foreign

MOST_CHARACTERS = 16_000
_MOST_OBJECTS = 16
_MOST_WORDS = 1_000
_MISSING = object()

T = TypeVar("T")


class Unreadable(StrEnum):
    """Why a reply could not be read."""

    EMPTY = "it is empty"
    TOO_LONG = "it is too long"
    NO_OBJECT = "it holds no complete JSON object"
    WRONG_KEYS = "a key is missing or has a wrong type"
    SEVERAL = "it holds several objects that differ"
    FOREIGN = "it is not in the language of the question"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a judge said of a whole chain."""

    first_error: int | None
    """As the teacher wrote it: it may lie outside the chain."""
    corrected: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepJudgement:
    """What a judge said of one step."""

    correct: bool
    corrected: str
    reason: str


Fields: TypeAlias = Mapping[str, object]
"""One JSON object."""
Reader: TypeAlias = Callable[[Fields], T | None]
"""Makes a value of an object's fields; None where a key is missing or has a wrong type."""


def _schema(**properties: object) -> Mapping[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
# The reason comes first: a model that must say why before it says which decides better.
_WHOLE = _schema(reason=_TEXT, first_error={"type": ["integer", "null"]}, corrected_step=_TEXT)
SCHEMAS: Mapping[Purpose, Mapping[str, Any]] = {
    Purpose.JUDGE: _WHOLE,
    Purpose.COMPARE: _WHOLE,
    Purpose.JUDGE_STEP: _schema(reason=_TEXT, correct={"type": "boolean"}, corrected_step=_TEXT),
}
"""JSON schema of the reply, for the purposes that ask for JSON."""


def judgement(fields: Fields) -> Judgement | None:
    """The judgement of a whole chain; None unless `first_error` is there, an integer or null."""
    index = fields.get("first_error", _MISSING)
    if isinstance(index, str) and re.fullmatch(r"-?\d{1,4}", index.strip()):
        index = int(index)
    words = _words(fields)
    if words is None or isinstance(index, bool) or not (index is None or isinstance(index, int)):
        return None
    return Judgement(first_error=index, corrected=words[0], reason=words[1])


def step_judgement(fields: Fields) -> StepJudgement | None:
    """The judgement of one step; None unless `correct` is there, true or false."""
    correct = fields.get("correct", _MISSING)
    words = _words(fields)
    if words is None or not isinstance(correct, bool):
        return None
    return StepJudgement(correct=correct, corrected=words[0], reason=words[1])


def _words(fields: Fields) -> tuple[str, str] | None:
    """The corrected step and the reason; both may be left out, neither may be anything but text."""
    words = [fields.get(key) or "" for key in ("corrected_step", "reason")]
    texts = [word.strip()[:_MOST_WORDS] for word in words if isinstance(word, str)]
    return (texts[0], texts[1]) if len(texts) == len(words) else None


def read(text: str, reader: Reader[T], question: str) -> T | Unreadable:
    """What the one JSON object in `text` says.

    Code fences, prose around the object and trailing commas are forgiven. Two objects that say
    different things are not, nor is one whose words are not in the language of `question`.
    """
    if not text.strip():
        return Unreadable.EMPTY
    if len(text) > MOST_CHARACTERS:
        return Unreadable.TOO_LONG
    objects = list(_objects(_without_trailing_commas(text)))
    return _one(objects, reader, question) if objects else Unreadable.NO_OBJECT


def _one(objects: list[Fields], reader: Reader[T], question: str) -> T | Unreadable:
    """What the objects say, if those that can be read say the same."""
    values = [(value, fields) for fields in objects if (value := reader(fields)) is not None]
    if not values:
        return Unreadable.WRONG_KEYS
    value, fields = values[0]
    if any(other != value for other, _ in values):
        return Unreadable.SEVERAL
    if any(isinstance(word, str) and foreign(word, question) for word in fields.values()):
        return Unreadable.FOREIGN
    return value


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _objects(text: str) -> Iterator[Fields]:
    """The outermost JSON objects in the text, from at most `_MOST_OBJECTS` opening braces."""
    start = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if start < 0:
            return
        end = start + 1
        try:
            value, end = _DECODER.raw_decode(text, start)
            yield cast(Fields, value)
        except (ValueError, RecursionError):
            pass
        start = text.find("{", end)


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|,(?=\s*[}\]])', re.DOTALL)


def _without_trailing_commas(text: str) -> str:
    """The text without commas right before a closing bracket; commas inside strings stay."""
    return _TOKEN.sub(lambda match: "" if match[0] == "," else match[0], text)
