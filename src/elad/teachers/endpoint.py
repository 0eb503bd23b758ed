"""An open connection to an OpenAI-compatible endpoint: many requests in, replies and charges out."""

import json
import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from elad.errors import TeacherError
from elad.ledger.prices import Price
from elad.outcomes import Purpose
from elad.records import Charge, Reply, Request, digest
from elad.teachers.answers import charged
from elad.teachers.call import Call
from elad.teachers.completion import Usage
from elad.teachers.counting import TokenCounter, utf8_length
from elad.teachers.dispatch import Later, in_flight
from elad.teachers.pace import Pace


class Concession(StrEnum):
    """What an endpoint turned down, so that it is asked without from then on."""

    SCHEMA = "schema"
    MAX_TOKENS = "max_tokens"
    """It wants `max_completion_tokens` instead, as reasoning models do."""
    SAMPLING = "sampling"
    """It takes its own temperature only."""


_ONE_REQUEST_A_CONNECTION = httpx2.Limits(max_keepalive_connections=0)
"""A reply that an endpoint sends twice would otherwise be taken for the reply to the connection's next request."""

_NAMED_BY = (
    (Concession.MAX_TOKENS, ("max_completion_tokens",)),
    (Concession.SCHEMA, ("response_format", "json_schema", "structured output")),
    (Concession.SAMPLING, ("temperature", "top_p")),
)
"""Words in the message of a 400 that tell what was turned down."""
_OF_FIELD = {
    "max_tokens": frozenset({Concession.MAX_TOKENS}),
    "response_format": frozenset({Concession.SCHEMA}),
    "temperature": frozenset({Concession.SAMPLING}),
    "top_p": frozenset({Concession.SAMPLING}),
}
"""What may be turned down where a 400 names the field of the request that is wrong."""
_OF_THE_PROMPT = ("context_length", "content_", "prompt")
"""Parts of the code of a 400 that is about what was asked, not about how."""
_MOST_BYTES_A_TOKEN = 5
_LOG = logging.getLogger(__name__)
_LEAST_KEY = 12
"""Characters; those of vendors have 32 and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where the endpoint is and how it is used; the fields mean what they mean in `OpenAI`."""

    base_url: str
    model: str
    price: Price | None
    concurrency: int
    timeout_seconds: float
    attempts: int
    idempotent: bool
    cached: bool
    free: bool = False
    """Whether nobody is billed, however often it is asked."""
    counter: TokenCounter | None = None
    """Counts the tokens of replies that tell none."""
    batch: bool = False
    """Whether its replies are charged as lines of a batch."""
    conceded: frozenset[Concession] = frozenset()
    """What it is known to turn down, by the record of an earlier look."""
    context: int | None = None
    """Tokens that it grants to a prompt and its reply, by that record."""


class Endpoint:
    """A `Teacher` over HTTP. Each `ask` may be used from one thread; the endpoint may be shared."""

    def __init__(self, name: str, link: Link, key: str) -> None:
        self._id = name
        self.link = link
        self._key = key
        self._conceded = link.conceded
        self._lock = threading.Lock()
        self._cramped = False
        """Whether the user was told of a request that does not fit the context."""
        self._failing: dict[str, float] = {}
        """When a request that is under way failed first."""
        self.pace = Pace(link.concurrency, timeout_seconds=link.timeout_seconds, tell=self.tell_pause)
        timeout = openai.Timeout(link.timeout_seconds, connect=min(10.0, link.timeout_seconds))
        self._http = openai.DefaultHttpxClient(limits=_ONE_REQUEST_A_CONNECTION, timeout=timeout)
        self.client = openai.OpenAI(
            base_url=link.base_url, api_key=key or "none", max_retries=0, http_client=self._http, timeout=timeout
        )
        told = {**self.client.default_headers, **self.client.auth_headers}
        self._head = {name: value for name, value in told.items() if isinstance(value, str)}

    @property
    def id(self) -> str:
        return self._id

    @property
    def where(self) -> str:
        """The address as it may be shown."""
        return public_url(self.link.base_url)

    @property
    def serves(self) -> frozenset[Purpose]:
        return frozenset(Purpose)

    @property
    def priced(self) -> bool:
        return self.link.price is not None

    @property
    def repeatable(self) -> bool:
        return self.link.idempotent or self.link.free

    @property
    def way(self) -> str:
        link = self.link
        how = "batch" if link.batch else "keys" if link.idempotent else "free" if link.free else "live"
        return f"{how} at {self.where}"

    def lost(self, request: Request) -> bool | None:
        return None

    @property
    def scope(self) -> str | None:
        return f"{self.id} at {self.where}" if self.link.cached else None

    @property
    def conceded(self) -> frozenset[Concession]:
        """What the endpoint has turned down so far."""
        return self._conceded

    def worst_case(self, request: Request) -> Charge:
        """The charge of `most`: the money is that of the dearest usage within its bounds."""
        return charged(self, self.most(request), seconds=0.0)

    def most(self, request: Request) -> Usage:
        """The usage of the worst case, by rule: a token is at least one byte, and a message's frame at most 16 tokens.

        All of the prompt counts as cached where a price list makes that the dearer.
        """
        schema = json.dumps(request.schema) if request.schema is not None else ""
        tokens_in = utf8_length(schema) + sum(utf8_length(m.content) + 16 for m in request.messages)
        price = self.link.price
        dearer_cached = price is not None and (price.cached_input or 0.0) > price.input
        return Usage(
            tokens_in=tokens_in,
            tokens_cached=tokens_in if dearer_cached else 0,
            tokens_out=request.sampling.max_tokens,
            reported=False,
        )

    def counted(self, request: Request, text: str) -> Usage:
        """The usage of a reply that tells none: by the model's tokenizer where it is known, else the worst case."""
        most, counter = self.most(request), self.link.counter
        if counter is None:
            return most
        tokens_in = min(counter.tokens_in(request), most.tokens_in)
        return replace(
            most,
            tokens_in=tokens_in,
            tokens_cached=min(most.tokens_cached, tokens_in),
            tokens_out=min(counter.tokens_out(text), most.tokens_out),
        )

    def look_for_room(self, request: Request) -> None:
        """Warns, once, of a request that is too long for the context that `elad doctor` found.

        Where its tokens are not counted by the model's tokenizer, they are taken to be as few as prose has.
        """
        context, counter, reply = self.link.context, self.link.counter, request.sampling.max_tokens
        if context is None or self._cramped or self.most(request).tokens_in + reply <= context:
            return
        fewest = sum(utf8_length(message.content) for message in request.messages) // _MOST_BYTES_A_TOKEN
        prompt = counter.tokens_in(request) if counter else fewest
        with self._lock:
            told, self._cramped = self._cramped, self._cramped or prompt + reply > context
        if self._cramped and not told:
            asks = f"a prompt of {'' if counter else 'about '}{prompt} tokens and a reply of up to {reply}"
            remedy = "serve a longer context, or lower reviser.max_tokens; `elad doctor` looks again"
            _LOG.warning("%s: %s do not fit its context of %d: %s", self.where, asks, context, remedy)

    def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        stopped = threading.Event()
        try:
            yield from in_flight(lambda request: self._called(request, stopped), requests, self.pace)
        finally:
            stopped.set()

    def _called(self, request: Request, stopped: threading.Event) -> Reply | TeacherError | Later:
        result = Call(self, request, stopped).reply()
        if not isinstance(result, Later):
            self._failing.pop(request.key, None)
        return result

    def tell_pause(self, seconds: float) -> None:
        """Tells the user that nothing is asked for a while, as the endpoint wants it."""
        _LOG.warning("%s: asks for a pause of %.0f s", self.where, seconds)

    def failing_since(self, request: Request) -> float:
        """When the request failed first, by the monotonic clock; now, where it has not failed before."""
        return self._failing.setdefault(request.key, time.monotonic())

    def close(self) -> None:
        self.client.close()

    def body(self, request: Request, without: frozenset[Concession]) -> dict[str, Any]:
        """The request in the protocol's own terms."""
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.link.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        }
        longer = Concession.MAX_TOKENS in without
        body["max_completion_tokens" if longer else "max_tokens"] = sampling.max_tokens
        if Concession.SAMPLING not in without:
            body["temperature"] = sampling.temperature
            if sampling.top_p != 1.0:
                body["top_p"] = sampling.top_p
        if sampling.temperature > 0:
            body["seed"] = request.seed % 2**31
        if request.schema is not None and Concession.SCHEMA not in without:
            schema = {"name": "reply", "schema": dict(request.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def post(self, request: Request, body: dict[str, Any]) -> AbstractContextManager[httpx2.Response]:
        """Sends a chat request over the client's wire; its response, whose body is yet to be read.

        The client's own method takes 1.3 ms of processor time more, to check arguments and build a response that
        nobody looks at (`benchmarks/teacher.py`).
        """
        key = {"Idempotency-Key": digest([self.id, request.key])} if self.link.idempotent else {}
        return self._http.stream("POST", f"{self.client.base_url}chat/completions", json=body, headers=self._head | key)

    def concede(self, complaint: str, param: object = None, code: object = None) -> frozenset[Concession]:
        """What a 400 turns down; noted for all later requests.

        `complaint` is what it says, `param` and `code` are those of its body. It may quote the question, and that may
        have any word in it: where the body names a field, or says that the prompt is wrong, words alone count for
        nothing.
        """
        said = f"{complaint} {param or ''}".lower()
        named = frozenset(kind for kind, words in _NAMED_BY if any(word in said for word in words))
        if isinstance(param, str) and param:
            named &= _OF_FIELD.get(re.split(r"[.\[]", param)[0], frozenset[Concession]())
        elif isinstance(code, str) and any(part in code.lower() for part in _OF_THE_PROMPT):
            named = frozenset[Concession]()
        with self._lock:
            self._conceded |= named
        return named

    def hide(self, text: str) -> str:
        """A reply's text as it is, without the key.

        A key of few characters stays: servers that ask for none are given some word, and a reply may have that word.
        """
        return self._without_key(text, _LEAST_KEY)

    def clean(self, text: str) -> str:
        """The text on one line of at most 300 characters, without the key, however short that is."""
        return " ".join(self._without_key(text, 1).split())[:300]

    def _without_key(self, text: str, least: int) -> str:
        for secret in (self._key, urlsplit(self.link.base_url).password):
            if secret and len(secret) >= least:
                text = text.replace(secret, "[key]")
        return text


def public_url(base_url: str) -> str:
    """The address without user name, password and query, for messages."""
    parts = urlsplit(base_url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
