"""The lines of a batch: requests as they were uploaded, and results as they are downloaded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from elad.records import digest
from elad.testing.replies import error_body

ENDPOINT = "/v1/chat/completions"
_MOST_LINES = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """One request of a batch; `number` counts from 0."""

    number: int
    custom_id: str
    body: dict[str, Any]

    @property
    def digest(self) -> str:
        """As a chat request of the same content has it."""
        return digest(self.body)

    def result(self, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
        """The line of the output file, or of the error file, for a request that was answered."""
        response = {"status_code": status, "request_id": f"req_{self.digest}", "body": body}
        return {"id": self._id, "custom_id": self.custom_id, "response": response, "error": None}

    def failed(self, status: int) -> dict[str, Any]:
        """A result with an error of this status."""
        return self.result(status, error_body("This request of the batch failed.", kind="server_error"))

    def expired(self) -> dict[str, Any]:
        """The line of the error file for a request that was not worked off in time."""
        message = "This request could not be executed before the completion window expired."
        error = {"code": "batch_expired", "message": message}
        return {"id": self._id, "custom_id": self.custom_id, "response": None, "error": error}

    @property
    def _id(self) -> str:
        return f"batch_req_{self.number:06d}"


def read_lines(content: bytes) -> tuple[list[BatchLine], list[dict[str, Any]]]:
    """The requests of an input file, and what is wrong with it; one of the two is empty."""
    lines: list[BatchLine] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    texts = content.decode(errors="replace").split("\n")
    for number, text in enumerate(texts[:-1] if not texts[-1].strip() else texts):
        found = _read_line(number, text, seen)
        if isinstance(found, BatchLine):
            lines.append(found)
            seen.add(found.custom_id)
        else:
            errors.append(found)
    if not lines and not errors:
        errors.append(complaint("empty_file", "The input file is empty."))
    if len(lines) > _MOST_LINES:
        errors.append(complaint("too_many_tasks", f"The batch is limited to {_MOST_LINES} requests."))
    return ([], errors) if errors else (lines, [])


def complaint(code: str, message: str, line: int | None = None, param: str | None = None) -> dict[str, Any]:
    """An entry of a batch's `errors`."""
    return {"code": code, "message": message, "line": line, "param": param}


def _read_line(number: int, text: str, seen: set[str]) -> BatchLine | dict[str, Any]:
    at = number + 1
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        line = None
    if not isinstance(line, dict):
        return complaint("invalid_json_line", "This line is not parseable as valid JSON.", at)
    fields = cast(dict[str, Any], line)
    custom_id, body = fields.get("custom_id"), fields.get("body")
    if not isinstance(custom_id, str):
        return complaint("missing_required_parameter", "Missing required parameter: 'custom_id'.", at, "custom_id")
    if custom_id in seen:
        return complaint("duplicate_custom_id", "The custom_id is not unique in the batch.", at, "custom_id")
    if fields.get("method") != "POST" or fields.get("url") != ENDPOINT:
        return complaint("invalid_url", f"Only POST requests to {ENDPOINT} are served.", at, "url")
    if not isinstance(body, dict):
        return complaint("missing_required_parameter", "Missing required parameter: 'body'.", at, "body")
    return BatchLine(number=number, custom_id=custom_id, body=cast(dict[str, Any], body))
