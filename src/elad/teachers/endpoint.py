"""An open connection to an OpenAI-compatible endpoint: many requests in, replies and charges out."""

import json
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
from elad.records import Purpose, Reply, Request, digest
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
    counter: TokenCounter | None = None
    """Counts the tokens of replies that tell none."""
    batch: bool = False
    """Whether its replies are charged as lines of a batch."""
    conceded: frozenset[Concession] = frozenset()
    """What it is known to turn down, by the record of an earlier look."""


class Endpoint:
    """A `Teacher` over HTTP. Each `ask` may be used from one thread; the endpoint may be shared."""

    def __init__(self, name: str, link: Link, key: str) -> None:
        self._id = name
        self.link = link
        self._key = key
        self._conceded = link.conceded
        self._lock = threading.Lock()
        self._failing: dict[str, float] = {}
        """When a request that is under way failed first."""
        self.pace = Pace(link.concurrency)
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
        return self.link.idempotent

    @property
    def scope(self) -> str | None:
        return f"{self.id} at {self.where}" if self.link.cached else None

    @property
    def conceded(self) -> frozenset[Concession]:
        """What the endpoint has turned down so far."""
        return self._conceded

    def worst_case(self, request: Request) -> tuple[int, int, float]:
        """Bounds by rule: a token is at least one byte, and a message's frame at most 16 tokens."""
        schema = json.dumps(request.schema) if request.schema is not None else ""
        tokens_in = utf8_length(schema) + sum(utf8_length(m.content) + 16 for m in request.messages)
        tokens_out = request.sampling.max_tokens
        price = self.link.price
        batch = self.link.batch
        money = price.money(tokens_in=tokens_in, tokens_out=tokens_out, batch=batch) if price else 0.0
        return tokens_in, tokens_out, money

    def most(self, request: Request) -> Usage:
        """The usage of the worst case."""
        tokens_in, tokens_out, _ = self.worst_case(request)
        return Usage(tokens_in=tokens_in, tokens_cached=0, tokens_out=tokens_out, reported=False)

    def counted(self, request: Request, text: str) -> Usage:
        """The usage of a reply that tells none: by the model's tokenizer where it is known, else the worst case."""
        most, counter = self.most(request), self.link.counter
        if counter is None:
            return most
        tokens_in = min(counter.tokens_in(request), most.tokens_in)
        return replace(most, tokens_in=tokens_in, tokens_out=min(counter.tokens_out(text), most.tokens_out))

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

    def concede(self, complaint: str) -> frozenset[Concession]:
        """What the message of a 400 turns down; noted for all later requests."""
        said = complaint.lower()
        named = frozenset(kind for kind, words in _NAMED_BY if any(word in said for word in words))
        with self._lock:
            self._conceded |= named
        return named

    def clean(self, text: str) -> str:
        """The text on one line of at most 300 characters, without the key."""
        for secret in (self._key, urlsplit(self.link.base_url).password):
            if secret:
                text = text.replace(secret, "[key]")
        return " ".join(text.split())[:300]


def public_url(base_url: str) -> str:
    """The address without user name, password and query, for messages."""
    parts = urlsplit(base_url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
