"""What each request is answered. Everything is decided when it arrives; only the delivery takes time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from elad.records import digest
from elad.testing.batches import BatchDesk
from elad.testing.books import Bookkeeper, Entry
from elad.testing.faults import Fault, Plan
from elad.testing.limits import Bucket
from elad.testing.replies import (
    Author,
    BadRequestError,
    Prompt,
    as_json,
    bad_request,
    failure,
    html,
    no_rights,
    read_json,
    read_prompt,
    spoiled,
    too_long,
    too_many,
)
from elad.testing.wire import Answer, HttpRequest, Way

if TYPE_CHECKING:
    from elad.testing.teacher import ChaosTeacher

_SPOILT = frozenset({
    Fault.STALL, Fault.RESET, Fault.TRUNCATED_JSON, Fault.INVALID_UTF8, Fault.WRONG_SCHEMA, Fault.EMPTY_CHOICES,
})  # fmt: skip
"""Billed, and yet no completion that a client can read."""
_WAYS = {Fault.DUPLICATE: Way.TWICE, Fault.STALL: Way.STALL, Fault.RESET: Way.RESET}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What was generated under an idempotency key: sent again as it was before anything spoiled its delivery."""

    digest: str
    body: bytes
    readable: bool


class Service:
    """The server without its network. Used from one thread."""

    def __init__(self, settings: ChaosTeacher, keeper: Bookkeeper, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._keeper = keeper
        self._clock = clock
        self._plan = Plan(settings.seed, settings.script, settings.faults)
        self._author = Author(answer=settings.answer, price=settings.price)
        self._bucket = Bucket(settings.requests_per_second) if settings.requests_per_second else None
        self._batches = BatchDesk(self._author, keeper, settings.batches, settings.seed)
        self._kept: dict[str, _Kept] = {}
        self._arrived = 0
        self._in_service = 0

    def answer(self, request: HttpRequest) -> Answer:
        """The answer, as noted in the books; one with a `digest` holds a place until `leave`."""
        path = urlsplit(request.target).path
        if (request.method, path) == ("POST", "/v1/chat/completions"):
            return self._chat(request)
        if request.method not in ("GET", "POST"):
            return Answer(status=405, body=b"")
        if rights := self._no_rights(request):
            return rights
        if (request.method, path) == ("GET", "/v1/models"):
            model = {"id": self._settings.model, "object": "model", "created": 0, "owned_by": "elad"}
            return Answer(body=as_json({"object": "list", "data": [model]}))
        try:
            return self._batches.answer(request, path)
        except BadRequestError as error:
            return bad_request(error, 404 if error.code == "not_found" else 400)

    def hand_over(self, answer: Answer) -> None:
        """Notes that the answer is about to be sent."""
        if answer.digest and answer.readable:
            self._keeper.note(Entry.ANSWERED, answer.digest)

    def leave(self, answer: Answer) -> None:
        """Gives back the place in service, whatever became of the answer."""
        self._in_service -= answer.digest is not None

    def _chat(self, request: HttpRequest) -> Answer:
        self._arrived += 1
        try:
            body = read_json(request.body)
            name = digest(body)
        except (BadRequestError, RecursionError):
            body, name = None, digest(request.body.decode("latin-1"))
        away = self._turned_away(request)
        self._in_service += away is None
        self._keeper.note(Entry.ARRIVED, name, in_service=self._in_service)
        answer = away or replace(self._admitted(name, body, request), digest=name)
        if answer.status >= 400:
            self._keeper.note(Entry.REFUSED, name, status=answer.status)
        return replace(answer, headers=answer.headers + self._bucket.headers) if self._bucket else answer

    def _no_rights(self, request: HttpRequest) -> Answer | None:
        key, ends_after = self._settings.api_key, self._settings.changes.auth_ends_after
        if key is not None and request.headers.get("authorization") != f"Bearer {key}":
            return no_rights("Incorrect API key provided.")
        if ends_after is not None and self._arrived > ends_after:
            return no_rights("Your API key has expired.")
        return None

    def _turned_away(self, request: HttpRequest) -> Answer | None:
        """The answer to a request that does not come into service."""
        if rights := self._no_rights(request):
            return rights
        limit, tells = self._settings.limit, self._settings.limits_tell
        if limit is not None and self._in_service >= limit:
            return too_many(self._settings.retry_after_seconds if tells else None)
        if self._bucket and not self._bucket.take(self._clock()):
            return too_many(round(self._bucket.seconds_to_room, 3) if tells else None)
        return None

    def _admitted(self, name: str, body: dict[str, Any] | None, request: HttpRequest) -> Answer:
        if body is None:
            return bad_request(BadRequestError("We could not parse the JSON body of your request."))
        try:
            prompt = read_prompt(body)
            key = request.headers.get("idempotency-key", "") if self._settings.idempotent else ""
            if kept := self._kept_under(key, name):
                return self._replayed(kept)
            fault = self._plan.draw(name)
            if fault:
                self._keeper.note(Entry.FAULT, name, fault=fault)
            self._check_context(prompt, fault)
        except BadRequestError as error:
            return bad_request(error)
        return self._refused(fault) or self._generated(name, prompt, fault, key)

    def _kept_under(self, key: str, name: str) -> _Kept | None:
        kept = self._kept.get(key)
        if kept and kept.digest != name:
            raise BadRequestError("This idempotency key was used with another request.", code="idempotency_error")
        return kept

    def _replayed(self, kept: _Kept) -> Answer:
        self._keeper.note(Entry.REPLAYED, kept.digest)
        return Answer(
            body=kept.body,
            headers=(("Idempotent-Replayed", "true"),),
            wait_seconds=self._settings.latency_ms / 1000,
            readable=kept.readable,
        )

    def _check_context(self, prompt: Prompt, fault: Fault | None) -> None:
        changes = self._settings.changes
        limit = changes.context_tokens
        if limit is not None:
            limit = max(changes.context_least, limit - changes.context_shrinks_by * (self._arrived - 1))
        if fault is Fault.CONTEXT_LENGTH:
            limit = prompt.tokens - 1
        if limit is not None and prompt.tokens > limit:
            raise too_long(prompt.tokens, limit)

    def _refused(self, fault: Fault | None) -> Answer | None:
        match fault:
            case Fault.RATE_LIMIT:
                return too_many(self._settings.retry_after_seconds)
            case Fault.RATE_LIMIT_BARE:
                return too_many(None)
            case Fault.SERVER_ERROR:
                return failure(500, "The server had an error while processing your request.")
            case Fault.BAD_GATEWAY:
                return failure(502, "Bad gateway.")
            case Fault.UNAVAILABLE:
                return failure(503, "The engine is currently overloaded, please try again later.")
            case Fault.HTML_OK | Fault.HTML_ERROR:
                return html(200 if fault is Fault.HTML_OK else 502)
            case Fault.AUTH_EXPIRED:
                return no_rights("Your API key has expired.")
            case _:
                return None

    def _generated(self, name: str, prompt: Prompt, fault: Fault | None, key: str) -> Answer:
        settings, changes = self._settings, self._settings.changes
        dearer = changes.price_changes_after is not None and self._arrived > changes.price_changes_after
        factor = changes.price_factor if dearer or fault is Fault.PRICE_CHANGE else 1.0
        try:
            completion = self._author.write(prompt, fault, factor=factor)
        except Exception as error:  # the user's own function; the client is told, and the server goes on
            return failure(500, f"answer() raised {error!r}")
        self._keeper.note(Entry.BILLED, name, **completion.costs)
        body = completion.body
        if key:
            flawed = fault in (Fault.WRONG_SCHEMA, Fault.EMPTY_CHOICES)
            self._kept[key] = _Kept(digest=name, body=body, readable=not flawed)
        return Answer(
            body=spoiled(body, fault),
            way=_WAYS.get(fault, Way.WHOLE) if fault else Way.WHOLE,
            wait_seconds=settings.latency_ms / 1000 + (settings.slow_seconds if fault is Fault.SLOW else 0),
            stall_seconds=settings.stall_seconds,
            readable=fault not in _SPOILT,
        )
