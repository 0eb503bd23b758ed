"""One request to an endpoint, with its retries, as a reply."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import httpx2
import openai
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
)

from elad.errors import TeacherError
from elad.records import Charge, Reply, ReplyOutcome, Request, derive_seed
from elad.teachers.completion import Completion, Usage, read
from elad.teachers.counting import estimate_tokens

if TYPE_CHECKING:
    from elad.teachers.endpoint import Endpoint


class _Received(Protocol):
    def iter_bytes(self) -> Iterator[bytes]: ...


_Create: TypeAlias = Callable[..., AbstractContextManager[_Received]]
"""What is used of the client's method; its own type is lost when the arguments are a dictionary."""

FIRST_WAIT_SECONDS = 0.5
"""Before the second attempt; doubled before each further one."""
MOST_WAIT_SECONDS = 60.0
"""Also where the endpoint asks for more."""
_MOST_BODY_BYTES = 4 * 1024 * 1024


class Call:
    """A request on its way. `reply` is called once, in a thread of its own."""

    def __init__(self, endpoint: Endpoint, request: Request, stopped: threading.Event) -> None:
        self._endpoint = endpoint
        self._request = request
        self._stopped = stopped
        self._sent = 0
        self._started = time.monotonic()

    def reply(self) -> Reply | TeacherError:
        """The reply; an error, not raised, when the endpoint as a whole is of no use."""
        retrying = Retrying(
            retry=retry_if_exception(_passes),
            stop=stop_after_attempt(self._endpoint.link.attempts),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            completion = retrying(self._attempt)
        except (openai.OpenAIError, httpx2.HTTPError, ValueError, TimeoutError) as error:
            return self._trouble(error) or self._failed(error)
        return self._answered(completion)

    def _attempt(self) -> Completion:
        """One completion; asked again at once for less when the endpoint turns part of it down."""
        while True:
            self._sent += 1
            without = self._endpoint.conceded
            try:
                return read(self._post(self._endpoint.body(self._request, without)))
            except openai.BadRequestError as error:
                if self._endpoint.concede(error.message) <= without:
                    raise

    def _post(self, body: dict[str, Any]) -> bytes:
        deadline = time.monotonic() + self._endpoint.link.timeout_seconds
        create = cast(_Create, self._endpoint.client.chat.completions.with_streaming_response.create)
        with create(**body) as response:
            received = bytearray()
            for piece in response.iter_bytes():
                received += piece
                if len(received) > _MOST_BODY_BYTES:
                    raise ValueError(f"reply of more than {_MOST_BODY_BYTES} bytes")
                # the client's own limit is per read, and some servers send blanks while they think
                if time.monotonic() > deadline:
                    raise TimeoutError("reply not complete in time")
        return bytes(received)

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: what the endpoint asks for, else doubling; up to half more."""
        error = state.outcome.exception() if state.outcome else None
        asked = _retry_after(error)
        seconds = FIRST_WAIT_SECONDS * 2 ** (state.attempt_number - 1) if asked is None else asked
        jitter = Random(derive_seed(self._request.key, state.attempt_number)).uniform(1.0, 1.5)
        return min(seconds * jitter, MOST_WAIT_SECONDS)

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise TimeoutError("nobody waits for the reply any more")

    def _trouble(self, error: Exception) -> TeacherError | None:
        if isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout)):
            what = f"cannot connect ({error.__cause__})"
        elif isinstance(error, openai.APIStatusError) and _concerns_account(error):
            what = error.message
        else:
            return None
        return TeacherError(f"{self._endpoint.where}: {self._endpoint.clean(what)}")

    def _failed(self, error: Exception) -> Reply:
        reason = self._endpoint.clean(str(error) or type(error).__name__)
        charge = Charge(calls=self._sent, seconds=time.monotonic() - self._started)
        return self._of(ReplyOutcome.FAILED, text="", reason=reason, charge=charge)

    def _answered(self, completion: Completion) -> Reply:
        reason = completion.reason
        if not reason and self._endpoint.conceded:
            reason = "the endpoint turned down: " + ", ".join(sorted(self._endpoint.conceded))
        return self._of(
            completion.outcome,
            text=completion.text,
            reason=self._endpoint.clean(reason),
            charge=self._charge(completion),
        )

    def _charge(self, completion: Completion) -> Charge:
        prompt = "".join(message.content for message in self._request.messages)
        usage = completion.usage or Usage(
            tokens_in=estimate_tokens(prompt), tokens_cached=0, tokens_out=estimate_tokens(completion.text)
        )
        price = self._endpoint.link.price
        tokens = {
            "tokens_in": usage.tokens_in,
            "tokens_cached": usage.tokens_cached,
            "tokens_out": usage.tokens_out,
        }
        return Charge(
            calls=self._sent,
            seconds=time.monotonic() - self._started,
            money=price.money(**tokens) if price else 0.0,
            currency=price.currency if price else None,
            price_version=price.version if price else None,
            estimated=completion.usage is None,
            **tokens,
        )

    def _of(self, outcome: ReplyOutcome, *, text: str, reason: str, charge: Charge) -> Reply:
        return Reply(
            request=self._request.key,
            text=text,
            outcome=outcome,
            charge=charge,
            teacher=self._endpoint.id,
            reason=reason,
        )


def _concerns_account(error: openai.APIStatusError) -> bool:
    """Whether every other request would fail alike: no key, no funds, no rights, no such model."""
    return error.status_code in (401, 402, 403, 404) or error.code == "insufficient_quota"


def _passes(error: BaseException) -> bool:
    """Whether a failure may be gone on the next attempt."""
    if isinstance(error, openai.APIStatusError):
        if _concerns_account(error):
            return False
        return error.status_code in (408, 409, 429) or error.status_code >= 500
    return isinstance(error, (openai.APIConnectionError, httpx2.TransportError, TimeoutError))


def _retry_after(error: BaseException | None) -> float | None:
    """The header's seconds; None without one, and where it holds a date."""
    if not isinstance(error, openai.APIStatusError):
        return None
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
