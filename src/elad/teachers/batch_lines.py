"""The files of the batch protocol: requests as they are uploaded, results as they are downloaded.

Nothing that comes back is trusted: a line that cannot be read is counted, and the others are used.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from elad.teachers.completion import Completion, read

URL = "/v1/chat/completions"
_UNSTARTED = frozenset({"batch_expired", "batch_cancelled"})
"""Codes of a line that was not worked off before its batch ended."""


class _Response(BaseModel):
    status_code: int
    body: Any = None


class _Line(BaseModel):
    custom_id: str = Field(min_length=1)
    response: _Response | None = None
    error: Any = None


class _Asked(BaseModel):
    custom_id: str


class _Error(BaseModel):
    message: str | None = None
    code: Any = None
    param: Any = None


class _Body(BaseModel):
    error: _Error


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A line that the endpoint turned down, or failed on, at no charge."""

    reason: str
    status: int | None
    param: object = None
    """The field of the request that is wrong, where the endpoint names it."""
    code: object = None


@dataclass(slots=True, kw_only=True)
class Results:
    """What the files of one batch say, by `custom_id`. Of a line that is in several, the first mapping counts."""

    good: dict[str, Completion] = field(default_factory=dict[str, Completion])
    garbled: dict[str, str] = field(default_factory=dict[str, str])
    """Answered with status 200, and yet no completion that can be read: why."""
    refused: dict[str, Refusal] = field(default_factory=dict[str, Refusal])
    unstarted: dict[str, str] = field(default_factory=dict[str, str])
    """Not worked off before the batch ended: in the endpoint's words."""
    unreadable: int = 0
    """Lines that tell nothing, not even whose they are."""

    @property
    def known(self) -> bool:
        """Whether anything is said of any line."""
        return bool(self.named)

    @property
    def named(self) -> set[str]:
        """The lines that something is said of."""
        return {*self.good, *self.garbled, *self.refused, *self.unstarted}

    def add(self, content: bytes) -> None:
        """Takes in an output or error file."""
        for text in content.split(b"\n"):
            if text.strip():
                self._add(text)

    def _add(self, text: bytes) -> None:
        try:
            line = _Line.model_validate_json(text)
        except ValidationError:
            self.unreadable += 1
            return
        name, response = line.custom_id, line.response
        if response is None:
            error = _error(line.error)
            if str(error.code) in _UNSTARTED:
                self.unstarted.setdefault(name, error.message or str(error.code))
            else:
                self.refused.setdefault(name, Refusal(reason=error.message or "failed without a reason", status=None))
        elif response.status_code != 200:
            error = _told(response.body)
            reason = f"Error code: {response.status_code} - {error.message or 'without a reason'}"
            refusal = Refusal(reason=reason, status=response.status_code, param=error.param, code=error.code)
            self.refused.setdefault(name, refusal)
        elif name not in self.good:
            try:
                self.good[name] = read(json.dumps(response.body).encode())
            except (ValueError, RecursionError) as error:
                self.garbled.setdefault(name, str(error))


def input_line(key: str, body: Mapping[str, Any]) -> bytes:
    """One request as a line of an input file. Raises: UnicodeEncodeError for text that is not Unicode."""
    line = {"custom_id": key, "method": "POST", "url": URL, "body": body}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def input_keys(content: bytes) -> set[str]:
    """The `custom_id` of each line of an input file. Raises: ValueError where one cannot be read."""
    lines = [text for text in content.split(b"\n") if text.strip()]
    return {_Asked.model_validate_json(text).custom_id for text in lines}


def _told(body: object) -> _Error:
    try:
        return _Body.model_validate(body).error
    except ValidationError:
        return _Error()


def _error(told: object) -> _Error:
    try:
        return _Error.model_validate(told)
    except ValidationError:
        return _Error()
