"""A plain client for the tests of the chaos teacher."""

import json
import socket
from collections.abc import Callable
from typing import Any

import httpx2

from elad.testing import ChaosServer

FOREVER = 3600.0
QUESTION = "How much is 2 + 2?"


def body(question: str = QUESTION, **more: Any) -> dict[str, Any]:
    """A chat request."""
    return {"model": "m", "messages": [{"role": "user", "content": question}], **more}


def post(server: ChaosServer, sent: object = None, *, timeout: float = 30, **headers: str) -> httpx2.Response:
    """The reply to one chat request, on a connection of its own; bytes are sent as they are."""
    content = sent if isinstance(sent, bytes) else json.dumps(sent or body()).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx2.Client(timeout=timeout, trust_env=False, verify=False) as client:
        return client.post(f"{server.base_url}/chat/completions", content=content, headers=named)


def text(reply: httpx2.Response) -> str:
    """What the reply says."""
    return reply.json()["choices"][0]["message"]["content"]


def connect(server: ChaosServer) -> socket.socket:
    """A connection with nothing sent yet."""
    return socket.create_connection(("127.0.0.1", httpx2.URL(server.base_url).port or 0), timeout=30)


def raw(sent: dict[str, Any], *headers: bytes) -> bytes:
    """A chat request as it goes over the wire."""
    content = json.dumps(sent).encode()
    lines = [b"POST /v1/chat/completions HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(content), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def until(holds: Callable[[], bool]) -> None:
    """Returns when it holds."""
    if not any(holds() for _ in range(1_000_000)):
        raise AssertionError("it never held")
