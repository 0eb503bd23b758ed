"""An endpoint asked a few small things: bounded in time, bytes and calls, each once more after a fault."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx2
import openai

from elad.doctor.trouble import (
    PassingError,
    TooLongError,
    TurnedDownError,
    UnansweredError,
    json_object,
    of_status,
    of_transport,
)
from elad.outcomes import ReplyOutcome
from elad.records import Charge, Request
from elad.teachers.answers import charged
from elad.teachers.completion import Completion, read
from elad.teachers.endpoint import Concession, Endpoint
from elad.teachers.received import Received, whole

T = TypeVar("T")

ATTEMPTS = 2
SECONDS = 30.0
"""For one attempt, from sending to the last byte; less where the teacher's own limit is shorter."""
_MOST_BODY_BYTES = 4 * 1024 * 1024
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout)
_WAY_ERRORS = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, TimeoutError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A chat completion, as a run reads it and whole."""

    completion: Completion
    data: Mapping[str, Any]
    headers: Mapping[str, str]
    seconds: float


class Wire:
    """A line to an endpoint, and what went over it. Used from one thread."""

    def __init__(self, endpoint: Endpoint, *, most_calls: int, wait: Callable[[float], None] = time.sleep) -> None:
        """No more than `most_calls` chat requests are sent; `wait` gets the seconds before a second attempt."""
        self.endpoint = endpoint
        self.conceded: frozenset[Concession] = frozenset()
        """What it turned down just now; earlier records do not count."""
        self.reached = False
        """Whether there was ever an HTTP reply."""
        self.answers: list[Answer] = []
        self.troubles: list[str] = []
        """Faults, in words; those that a second attempt mended are among them."""
        self.denials: list[TurnedDownError] = []
        """Refusals of chat requests that concern key, account or model."""
        self.too_long: list[TooLongError] = []
        self.sent = 0
        """Requests of any kind."""
        self.spent = Charge()
        self._most_calls = most_calls
        self._wait = wait
        self._seconds = min(endpoint.link.timeout_seconds, SECONDS)
        # A connection is used once, as in a run: what an endpoint sends too much is not read as the next reply.
        self._client = openai.DefaultHttpxClient(
            limits=httpx2.Limits(max_keepalive_connections=0),
            timeout=httpx2.Timeout(self._seconds, connect=min(10.0, self._seconds)),
            headers={"Authorization": f"Bearer {endpoint.client.api_key}"},
        )

    def close(self) -> None:
        """Hangs up."""
        self._client.close()

    def told(self, text: str) -> str:
        """The text as it may be shown: one printable line, without the key."""
        return self.endpoint.clean("".join(c if c.isprintable() else " " for c in text))

    def get(self, url: str) -> Mapping[str, Any]:
        """The JSON object at a URL. Raises: UnansweredError, TurnedDownError."""

        def look() -> Mapping[str, Any]:
            try:
                return json_object(self._exchange("GET", url)[1])
            except _WAY_ERRORS as error:
                raise PassingError(self.told(of_transport(error, self._seconds))) from None

        return self._persistently(look)

    def ask(self, request: Request, key: str = "", **extra: Any) -> Answer:
        """The answer to a chat request, put as a run would put it; `key` is its `Idempotency-Key`.

        What a 400 turns down is conceded as in a run, unless the request has fields that no run sends:
        those are in `extra`, where None takes a field away.
        Raises: UnansweredError, TurnedDownError, TooLongError.
        """
        while True:
            without = self.conceded
            fields = self.endpoint.body(request, without) | extra
            body = {name: value for name, value in fields.items() if value is not None}
            try:
                return self._persistently(lambda body=body: self._chat(request, body, key))
            except TurnedDownError as error:
                self.too_long += [error] if isinstance(error, TooLongError) else []
                self.denials += [error] if error.concerns_account else []
                if error.status != 400 or extra or isinstance(error, TooLongError):
                    raise
                self.conceded |= self.endpoint.concede(error.complaint)
                if self.conceded == without:
                    raise

    def _persistently(self, attempt: Callable[[], T]) -> T:
        for number in range(1, ATTEMPTS + 1):
            try:
                return attempt()
            except PassingError as error:
                self.troubles.append(str(error))
                if number == ATTEMPTS:
                    raise UnansweredError(str(error)) from None
                self._wait(error.wait_seconds)
        raise AssertionError("there is a last attempt")

    def _chat(self, request: Request, body: dict[str, Any], key: str) -> Answer:
        if self.spent.calls >= self._most_calls:
            raise UnansweredError("as many requests as were announced have been sent")
        started = time.monotonic()
        url = f"{self.endpoint.link.base_url.rstrip('/')}/chat/completions"
        charge = Charge(calls=1)
        try:
            headers, raw = self._exchange("POST", url, json=body, headers={"Idempotency-Key": key} if key else {})
            completion, data = read(raw), json_object(raw)
            usage = completion.usage or self.endpoint.counted(request, completion.text)
            charge = charged(self.endpoint, usage, time.monotonic() - started)
        except _WAY_ERRORS as error:
            if not isinstance(error, _UNSENT):  # it may have been written and billed
                charge = charged(self.endpoint, self.endpoint.most(request), time.monotonic() - started)
            raise PassingError(self.told(of_transport(error, self._seconds))) from None
        finally:
            self.spent += charge
        answer = Answer(completion=completion, data=data, headers=headers, seconds=charge.seconds)
        self.answers.append(answer)
        if completion.outcome is ReplyOutcome.REFUSED:
            raise PassingError(f"the model declined: {self.told(completion.reason)}")
        return answer

    def _exchange(self, method: str, url: str, **sent: Any) -> tuple[Mapping[str, str], bytes]:
        """Head and body of a good reply.

        Raises: what `of_status` makes of another; the transport's errors; TimeoutError and ValueError for a body
        that takes too long or is too large.
        """
        deadline = time.monotonic() + self._seconds
        self.sent += 1
        with self._client.stream(method, url, **sent) as response:
            self.reached = True
            body = whole(cast(Received, response), most_bytes=_MOST_BODY_BYTES, deadline=deadline)
        if response.status_code != 200:
            raise of_status(response.status_code, response.headers, body, self.told)
        return response.headers, body
