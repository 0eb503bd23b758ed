"""Which way to an endpoint is taken: request by request, or by the batch where that is cheaper."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Literal

from elad.outcomes import Purpose
from elad.protocols import Teacher
from elad.records import Charge, Reply, Request
from elad.teachers.batch import BatchTeacher
from elad.teachers.batch_api import BatchApi, Refused
from elad.teachers.endpoint import Endpoint, Link


def way(channel: Literal["live", "batch", "auto"], name: str, link: Link, key: str) -> Teacher:
    """The teacher behind a link, over a channel; nothing is sent yet."""
    if channel == "live":
        return Endpoint(name, link, key)
    batched = Endpoint(name, replace(link, batch=True), key)
    return BatchTeacher(batched) if channel == "batch" else AutoTeacher(Endpoint(name, link, key), batched)


class AutoTeacher:
    """A `Teacher` that takes batches if the endpoint has them and they are known to cost less, else live calls.

    The endpoint is looked at when it first matters, with one request that costs nothing. What it turns down, as
    where there is no such address (404) or no right to it (403), means live; so does an answer that is no list.
    """

    def __init__(self, live: Endpoint, batched: Endpoint, sleep: Callable[[float], None] = time.sleep) -> None:
        """Two ways to one endpoint; `batched` charges by the batch."""
        self._live = live
        self._batched = batched
        self._sleep = sleep
        self._taken: Teacher | None = None

    @property
    def id(self) -> str:
        return self._live.id

    @property
    def serves(self) -> frozenset[Purpose]:
        return self._live.serves

    @property
    def priced(self) -> bool:
        return self._live.priced

    @property
    def repeatable(self) -> bool:
        return self.taken().repeatable

    @property
    def way(self) -> str:
        return self.taken().way

    def lost(self, request: Request) -> bool | None:
        return self.taken().lost(request)

    @property
    def scope(self) -> str | None:
        return self._live.scope

    def worst_case(self, request: Request) -> Charge:
        return (self._taken or self._live).worst_case(request)

    def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        source = iter(requests)
        first = next(source, None)
        if first is not None:
            yield from self.taken().ask(chain((first,), source))

    def close(self) -> None:
        self._live.close()
        self._batched.close()

    def taken(self) -> Teacher:
        """The way that is taken. Raises: TeacherError when the endpoint cannot be asked which ways it has."""
        if self._taken is None:
            price = self._live.link.price
            cheaper = bool(price and price.batch_discount)
            batch = cheaper and _has_batches(self._batched, self._sleep)
            self._taken = BatchTeacher(self._batched, self._sleep) if batch else self._live
        return self._taken


def _has_batches(endpoint: Endpoint, sleep: Callable[[float], None]) -> bool:
    try:
        next(BatchApi(endpoint, sleep).listed(), None)
    except Refused:
        return False
    return True
