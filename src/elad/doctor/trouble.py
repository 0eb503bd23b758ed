"""What may become of a small request instead of an answer."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx2

from elad.teachers.pace import asked_seconds

MOST_WAIT_SECONDS = 5.0
"""Before a second attempt, whatever the endpoint asks for."""
_FIRST_WAIT_SECONDS = 0.5
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed\w* [^.]{0,40}context|context (?:length|size|window)", re.IGNORECASE
)
_NO_FUNDS = "insufficient_quota"


class UnansweredError(Exception):
    """No reply that can be read, also not when asked again; in words."""


class TurnedDownError(Exception):
    """The endpoint will not do what was asked, and would not the next time; in words."""

    def __init__(self, status: int, message: str, complaint: str = "") -> None:
        """`message` may be shown; `complaint` is all that the endpoint said."""
        super().__init__(f"status {status}: {message}")
        self.status = status
        self.complaint = complaint

    @property
    def concerns_account(self) -> bool:
        """Whether every other request would fail alike, as a run takes it: no key, no funds, no rights, no model."""
        return self.status in (401, 402, 403, 404)

    @property
    def concerns_fields(self) -> bool:
        """Whether it is what this request has beside its prompt that is turned down."""
        return self.status in (400, 422)


class TooLongError(TurnedDownError):
    """The prompt is longer than the endpoint's context."""

    @property
    def concerns_fields(self) -> bool:
        return False


class PassingError(Exception):
    """A fault that may be gone on the next attempt."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


def of_status(status: int, headers: Mapping[str, str], body: bytes, told: Callable[[str], str]) -> Exception:
    """What an error status means; `told` makes the endpoint's words fit to be shown."""
    whole = body.decode(errors="replace")
    message = told(_message(whole))
    if status == 429 and _NO_FUNDS in whole:
        return TurnedDownError(402, message)
    if status in (408, 409, 425, 429) or status >= 500:
        asked = asked_seconds(headers)
        wait = _FIRST_WAIT_SECONDS if asked is None else min(asked, MOST_WAIT_SECONDS)
        return PassingError(f"status {status}: {message}", wait)
    if status in (400, 413, 422) and _TOO_LONG.search(whole):
        return TooLongError(status, message, whole)
    return TurnedDownError(status, message, whole)


def of_transport(error: Exception, seconds: float) -> str:
    """A fault on the way, in words that hold nothing of the request."""
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        return f"cannot connect ({error})"
    if isinstance(error, (httpx2.TimeoutException, TimeoutError)):
        return f"no complete reply within {seconds:.0f} s"
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def json_object(body: bytes) -> Mapping[str, Any]:
    """The JSON object that a body is. Raises: ValueError, without quoting it."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the reply is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("the reply is no JSON object")
    return cast("dict[str, Any]", value)


def _message(whole: str) -> str:
    """The error's own words where the body is one in the protocol's terms; else how it begins."""
    try:
        error: Any = json.loads(whole)
    except (ValueError, RecursionError):
        return whole
    for key in ("error", "message"):
        error = cast("dict[str, Any]", error).get(key, error) if isinstance(error, dict) else error
    return error if isinstance(error, str) else whole
