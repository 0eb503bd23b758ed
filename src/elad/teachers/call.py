"""One request to an endpoint, with its retries, as a reply."""

from __future__ import annotations

import json
import math
import threading
import time
from random import Random
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import httpx2
import openai
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
)

from elad.errors import TeacherError
from elad.interrupt import SLICE_SECONDS, Stopped, stopping
from elad.outcomes import ReplyOutcome
from elad.records import Charge, Reply, Request, derive_seed
from elad.teachers.answers import answered, unanswered
from elad.teachers.completion import Completion, read
from elad.teachers.dispatch import Later
from elad.teachers.pace import retry_after
from elad.teachers.received import whole

if TYPE_CHECKING:
    from elad.teachers.endpoint import Endpoint


FIRST_WAIT_SECONDS = 0.5
"""Before the second attempt; doubled before each further one."""
MOST_WAIT_SECONDS = 60.0
_MOST_BODY_BYTES = 4 * 1024 * 1024
_MOST_ERROR_BYTES = 256 * 1024
_MAYBE_BILLED = frozenset({408, 504, 524})
"""A gateway gave up waiting; behind it the reply may have been written all the same."""


class Call:
    """A request on its way. `reply` is called once for each time it is sent, in a thread of its own."""

    def __init__(self, endpoint: Endpoint, request: Request, stopped: threading.Event) -> None:
        self._endpoint = endpoint
        self._request = request
        self._stopped = stopped
        self._received = False
        """The head of a good answer has come: whatever goes wrong from here on may have been billed."""
        self._started = time.monotonic()

    def reply(self) -> Reply | TeacherError | Later:
        """The reply; `Later` when the endpoint is busy; an error, not raised, when it is of no use as a whole."""
        retrying = Retrying(
            retry=retry_if_exception(_passes),
            stop=stop_after_attempt(self._endpoint.link.attempts),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        self._endpoint.look_for_room(self._request)
        try:
            completion = retrying(self._attempt)
        except Stopped:
            return self._not_sent()
        except (openai.OpenAIError, httpx2.HTTPError, ValueError, TimeoutError) as error:
            return self._put_off(error) or self._trouble(error) or self._unanswered(error)
        return answered(self._endpoint, self._request, completion, time.monotonic() - self._started)

    def _attempt(self) -> Completion:
        """One completion; asked again at once for less when the endpoint turns part of it down.

        Raises: Stopped, and sends nothing, once the user has stopped or nobody waits for the reply any more.
        """
        while not (stopping() or self._stopped.is_set()):
            without = self._endpoint.conceded
            try:
                return self._post(self._endpoint.body(self._request, without))
            except openai.APIStatusError as error:
                if error.status_code != 400:
                    raise
                if self._endpoint.concede(error.message, error.param, error.code) <= without:
                    raise
        raise Stopped

    def _post(self, body: dict[str, Any]) -> Completion:
        began = time.monotonic()
        deadline = began + self._endpoint.link.timeout_seconds
        with self._endpoint.post(self._request, body) as response:
            if response.is_error:
                raise status_error(response, deadline)
            self._received = True
            received = whole(response, most_bytes=_MOST_BODY_BYTES, deadline=deadline)
            waited = time.monotonic() - began
        completion = read(received)
        self._endpoint.pace.answered(response.headers, waited)
        return completion

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next attempt: what the endpoint asks for, else doubling; up to half more."""
        error = state.outcome.exception() if state.outcome else None
        asked = retry_after(error.response.headers) if isinstance(error, openai.APIStatusError) else None
        seconds = FIRST_WAIT_SECONDS * 2 ** (state.attempt_number - 1) if asked is None else asked
        jitter = Random(derive_seed(self._request.key, state.attempt_number)).uniform(1.0, 1.5)
        return min(seconds * jitter, MOST_WAIT_SECONDS)

    def _sleep(self, seconds: float) -> None:
        while seconds > 0 and not (stopping() or self._stopped.wait(min(seconds, SLICE_SECONDS))):
            seconds -= SLICE_SECONDS

    def _trouble(self, error: Exception) -> TeacherError | None:
        pace = self._endpoint.pace
        if unsent(error):
            what = f"cannot connect ({error.__cause__ or error})"
        elif isinstance(error, openai.APIStatusError) and concerns_account(error):
            what = error.message
        elif _limited(error) and pace.stuck_seconds:
            what = f"too many requests (429) and nothing else for {pace.stuck_seconds:.0f} s"
        elif _broken(error) and _long_pause(error) and pace.stuck_seconds:
            what = f"out of order ({error.status_code}) and nothing else for {pace.stuck_seconds:.0f} s"
        else:
            return None
        return TeacherError(f"{self._endpoint.where}: {self._endpoint.clean(what)}")

    def _put_off(self, error: Exception) -> Later | Reply | None:
        """For an endpoint that is busy, or that has answered before and is out of order now: it may be back in minutes.

        Where others were answered since this request first failed, it is the request that fails. One that names the
        pause it needs may be back although it has answered nothing yet.
        """
        pace = self._endpoint.pace
        if _limited(error) and not concerns_account(error):
            pace.refused(error.response.headers, self._started)
            later = None if pace.stuck_seconds else Later()
        elif unsent(error) or _broken(error):
            since = self._endpoint.failing_since(self._request)
            pace.paused(_long_pause(error))
            later = Later(behind=True) if pace.passing(math.inf if unsent(error) else since) else None
            if later:
                pace.failed()
        else:
            later = None
        return self._not_sent() if later and stopping() else later

    def _not_sent(self) -> Reply:
        reason = "put off by the endpoint until the run was stopped"
        return unanswered(self._endpoint, self._request, ReplyOutcome.UNSENT, reason, Charge())

    def _unanswered(self, error: Exception) -> Reply:
        """A failure that the endpoint told, at no charge; or a reply that is lost, and may have been billed."""
        told = error if isinstance(error, openai.APIStatusError) and not self._received else None
        silent = told is None and isinstance(error, (openai.OpenAIError, httpx2.HTTPError, TimeoutError))
        if self._received or silent or (told and told.status_code in _MAYBE_BILLED):
            outcome = ReplyOutcome.LOST
        else:
            outcome = ReplyOutcome.REJECTED if told and told.status_code < 500 else ReplyOutcome.FAILED
        if told and outcome is ReplyOutcome.REJECTED:
            self._endpoint.pace.answered(told.response.headers, None)
        else:
            self._endpoint.pace.failed()
        charge = Charge(calls=1, seconds=time.monotonic() - self._started)
        return unanswered(self._endpoint, self._request, outcome, str(error) or type(error).__name__, charge)


def status_error(response: httpx2.Response, deadline: float) -> openai.APIStatusError:
    """What an error status says, as the client's own error; so much of its body is read as is needed for that."""
    try:
        said = whole(response, most_bytes=_MOST_ERROR_BYTES, deadline=deadline).decode(errors="replace")
    except (ValueError, TimeoutError, httpx2.HTTPError) as error:
        said = f"its body cannot be read: {error}"
    try:
        body = json.loads(said)
    except (ValueError, RecursionError):
        body = said
    named = cast("dict[str, Any]", body).get("error", cast(object, body)) if isinstance(body, dict) else body
    return openai.APIStatusError(f"Error code: {response.status_code} - {body}", response=response, body=named)


def _limited(error: Exception) -> TypeGuard[openai.APIStatusError]:
    return isinstance(error, openai.APIStatusError) and error.status_code == 429


def concerns_account(error: openai.APIStatusError) -> bool:
    """Whether every other request would fail alike: no key, no funds, no rights, no such model."""
    return error.status_code in (401, 402, 403, 404) or error.code == "insufficient_quota"


def _passes(error: BaseException) -> bool:
    """Whether a failure that cannot have been billed may be gone on the next attempt."""
    return isinstance(error, Exception) and (_broken(error) or unsent(error)) and not _long_pause(error)


def _long_pause(error: Exception) -> float:
    """Seconds for which an endpoint that is out of order asks; 0 where none, or so few that a request waits itself."""
    asked = retry_after(error.response.headers) if _broken(error) else None
    return asked if asked and asked > MOST_WAIT_SECONDS else 0.0


def _broken(error: Exception) -> TypeGuard[openai.APIStatusError]:
    """Whether the endpoint told that it is not well, and that nothing was generated."""
    if not isinstance(error, openai.APIStatusError) or error.status_code in _MAYBE_BILLED:
        return False
    return error.status_code == 409 or error.status_code >= 500


def unsent(error: Exception) -> bool:
    """Whether the endpoint was never reached."""
    kinds = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
    return isinstance(error, kinds) or isinstance(error.__cause__, kinds)
