"""HTTP/1.1 on one connection: requests in, answers out, well or badly delivered."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import h11

_MOST_BODY_BYTES = 210_000_000
"""The batch protocol allows files of 200 MB."""
_PIECE_BYTES = 65_536


class Way(StrEnum):
    """How an answer is delivered."""

    WHOLE = "whole"
    TWICE = "twice"
    STALL = "stall"
    """Half of it; after a pause the connection is closed."""
    RESET = "reset"
    """Half of it; at once the connection is reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent, and how."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    way: Way = Way.WHOLE
    wait_seconds: float = 0.0
    """Before the first byte."""
    stall_seconds: float = 0.0
    digest: str | None = None
    """Of the chat request that keeps its place in service until this is sent."""
    readable: bool = False
    """Whether it is a chat completion that can be read."""


class Line:
    """One connection, used by one task."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_PIECE_BYTES)

    async def receive(self) -> HttpRequest | None:
        """The next request; None when there will be no more.

        Raises: h11.RemoteProtocolError on what is not HTTP, or too long; OSError when the connection breaks.
        """
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        body = bytearray()
        while isinstance(piece := await self._event(), h11.Data):
            body += piece.data
            if len(body) > _MOST_BODY_BYTES:
                raise h11.RemoteProtocolError("body too long", error_status_hint=413)
        return HttpRequest(
            method=head.method.decode("ascii"),
            target=head.target.decode("ascii"),
            headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
            body=bytes(body),
        )

    async def pause(self, seconds: float) -> None:
        """Waits. Raises: ConnectionAbortedError as soon as the client has gone."""
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                while data := await self._reader.read(_PIECE_BYTES):
                    self._http.receive_data(data)
        except TimeoutError:
            return
        raise ConnectionAbortedError("the client has gone")

    async def send(self, answer: Answer) -> None:
        """Delivers the answer in its way."""
        head, body = self._encoded(answer)
        if answer.way in (Way.STALL, Way.RESET):
            await self._write(head + body[: len(body) // 2])
            await self.pause(answer.stall_seconds if answer.way is Way.STALL else 0)
            self._hang_up(reset=answer.way is Way.RESET)
        else:
            await self._write((head + body) * (2 if answer.way is Way.TWICE else 1))

    async def _event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                go_on = self._http.send(h11.InformationalResponse(status_code=100, headers=[]))
                await self._write(go_on or b"")
            self._http.receive_data(await self._reader.read(_PIECE_BYTES))
        return event

    def _encoded(self, answer: Answer) -> tuple[bytes, bytes]:
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            *answer.headers,
        ]
        head = self._http.send(h11.Response(status_code=answer.status, headers=headers))
        body = self._http.send(h11.Data(data=answer.body)) if answer.body else b""
        self._http.send(h11.EndOfMessage())
        return head or b"", body or b""

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def _hang_up(self, *, reset: bool) -> None:
        """Ends the connection: with a reset, or in an orderly way that leaves the reply unfinished."""
        if reset:
            raw: socket.socket = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
