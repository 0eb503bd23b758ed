"""The chaos teacher: its settings, and the server while it runs."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import h11

from elad.errors import ConfigError
from elad.testing.batches import BatchPlan
from elad.testing.books import Bookkeeper, Books
from elad.testing.faults import Fault
from elad.testing.replies import BadRequestError, Messages, bad_request, digest_answer
from elad.testing.service import Service
from elad.testing.wire import HttpRequest, Line

_BACKLOG = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changes for good while the server runs, counted in chat requests that have arrived."""

    auth_ends_after: int | None = None
    """From the request after so many on, every key has expired: 401."""
    price_changes_after: int | None = None
    """From the request after so many on, the price is `price_factor` times what it was."""
    price_factor: float = 2.0
    """Also of `Fault.PRICE_CHANGE`."""
    context_tokens: int | None = None
    """The longest prompt of the first request; a longer one gets a 400 that names the limit."""
    context_shrinks_by: int = 0
    """Tokens that the limit goes down with each request, to `context_least`."""
    context_least: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosTeacher:
    """A local OpenAI-compatible server with faults, for tests of whatever talks to one.

    It speaks chat completions, the list of models and the batch protocol (`elad.testing.batches`).

    >>> with ChaosTeacher(script=[Fault.SERVER_ERROR], limit=8) as server:
    ...     server.base_url.startswith("http://127.0.0.1:"), server.books.arrived
    (True, 0)

    A reply is billed when its request comes into service, as a provider does: also when the client does
    not wait for it, and when it is spoiled on its way. Refused requests are not billed (see `Fault`).
    Tokens are counted by rule: UTF-8 bytes divided by 4, rounded up, of each message and of the reply.
    """

    seed: int = 0
    """Of the random faults, and of the order of a batch's results."""
    faults: Mapping[Fault, float] | float = 0.0
    """Share of the requests that meet each fault; one number is spread evenly over the `TRANSIENT` ones.
    Whether the n-th request of the same content meets one depends on seed, content and n alone. Requests
    that limits, keys or their own defects keep out of service do not count, nor do replayed ones."""
    script: Sequence[Fault | None] = ()
    """What the first requests in service meet, in the order of arrival; after them `faults` holds."""
    answer: Callable[[Messages], str] = digest_answer
    """The text of the reply; called in the server's thread, so that others wait while it works."""
    model: str = "chaos"
    """The one in the list of models; requests may name any, and their replies name that."""
    price: tuple[float, float] = (1.0, 2.0)
    """Money for a million tokens in, and out; reported as `usage.x_price`. Lines of a batch cost half."""
    changes: Changes = Changes()
    api_key: str | None = None
    """The only key that is let in; None lets in everybody."""
    idempotent: bool = False
    """A request whose `Idempotency-Key` was billed before gets the same body again, free, and with the
    header `Idempotent-Replayed`; a key that comes with another content gets a 400."""
    latency_ms: float = 0.0
    """From a request to its reply; errors come at once."""
    slow_seconds: float = 3.0
    """Of `Fault.SLOW`, on top of the latency."""
    stall_seconds: float = 5.0
    """Of `Fault.STALL`."""
    retry_after_seconds: float = 1.0
    """What `Fault.RATE_LIMIT` and `limit` say in `Retry-After`; decimals are sent as they are."""
    limit: int | None = None
    """Requests in service at once; the excess gets a 429."""
    requests_per_second: float | None = None
    """The excess gets a 429; every reply then has OpenAI's `x-ratelimit-*-requests` headers."""
    limits_tell: bool = True
    """Whether the 429 of a limit comes with `Retry-After`."""
    batches: Sequence[BatchPlan] = ()
    """How the first batches go, in the order of their creation; later ones go well."""
    port: int = 0
    """0 takes a free one."""
    log: Path | None = None
    """A file that every entry of the books is appended to, as a line of JSON; for `read_log`."""
    _opened: ExitStack = field(default_factory=ExitStack, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("latency_ms", "slow_seconds", "stall_seconds", "retry_after_seconds"):
            if not (math.isfinite(value := getattr(self, name)) and value >= 0):
                raise ConfigError(f"chaos.{name}: {value} is not a time")
        for name, least in (("limit", 1), ("requests_per_second", 1e-9)):
            if (value := getattr(self, name)) is not None and not value >= least:
                raise ConfigError(f"chaos.{name}: {value} lets nothing through")

    def open(self) -> ChaosServer:
        """The server, running until it is closed.

        Raises: OSError when the port is taken or the log cannot be written; ConfigError on impossible `faults`.
        """
        return ChaosServer(self)

    def __enter__(self) -> ChaosServer:
        return self._opened.enter_context(self.open())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()


class ChaosServer:
    """A chaos teacher that runs in a thread of this process."""

    def __init__(self, settings: ChaosTeacher) -> None:
        self._keeper = Bookkeeper(settings.log)
        try:
            self._service = Service(settings, self._keeper)
            self._socket = socket.create_server(("127.0.0.1", settings.port), backlog=_BACKLOG)
        except BaseException:
            self._keeper.close()
            raise
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._talks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="elad-chaos")
        self._thread.start()

    @property
    def books(self) -> Books:
        """The sums so far; they can be read after closing too."""
        return self._keeper.books()

    def close(self) -> None:
        """Drops all connections and ends the thread; waits ten seconds at most, for an `answer` at work."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop may be closed by now
                self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(timeout=10)
        self._keeper.close()

    def __enter__(self) -> ChaosServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._listen())
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._greet, sock=self._socket, backlog=_BACKLOG)
        await self._stopped.wait()
        server.close()
        while self._talks:
            for talk in self._talks:
                talk.cancel()
            await asyncio.wait(self._talks)
        await asyncio.sleep(0)  # connections that were dropped are closed in the next turn of the loop

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = self._loop.create_task(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until either side is done with it."""
        line = Line(reader, writer)
        try:
            try:
                while request := await line.receive():
                    await self._exchange(line, request)
            except h11.RemoteProtocolError as error:
                await line.send(bad_request(BadRequestError(str(error)), error.error_status_hint))
            writer.close()
            await writer.wait_closed()
        except (OSError, h11.ProtocolError):
            pass  # the client has gone, or has left the protocol in a way that cannot be answered
        finally:
            writer.transport.abort()

    async def _exchange(self, line: Line, request: HttpRequest) -> None:
        answer = self._service.answer(request)
        try:
            await line.pause(answer.wait_seconds)
            self._service.hand_over(answer)
            await line.send(answer)
        finally:
            self._service.leave(answer)
