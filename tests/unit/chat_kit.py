"""A chat endpoint that answers by script, and a teacher over it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from elad.ledger.prices import Price
from elad.outcomes import Purpose
from elad.records import Message, Problem, Reply, Request
from elad.teachers import call
from elad.teachers.endpoint import Endpoint
from elad.teachers.openai import OpenAI

CANARY = "sk-canary-1234567890"
PRICE = Price(input=1.0, cached_input=0.5, output=2.0)
SCHEMA = {"type": "object", "properties": {"correct": {"type": "boolean"}}}


Answer = tuple[int, dict[str, str], Any]
"""Status, headers, and a body: JSON values, or bytes as they are."""


def completion(content: str | None = "4", finish: str = "stop", usage: object = ..., **message: Any) -> Answer:
    if usage is ...:
        usage = {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 40},
        }
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": content, **message},
    }
    return 200, {}, {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def failure(status: int, message: str, **headers: str) -> Answer:
    return status, headers, {"error": {"message": message, "type": "x", "code": None}}


class ChatServer:
    """A scripted server: `script` maps the n-th request's body to an answer; it keeps what it was asked."""

    def __init__(self, script: Callable[[int, dict[str, Any]], Answer], port: int = 0) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._script = script
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    n = len(server.asked)
                    server.asked.append(body)
                    server.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, answer = server._script(n, body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """May be called twice."""
        self._server.shutdown()
        self._server.server_close()


def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    """Starts servers of these answers, the last one for good, or of a script; the key is the canary."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setattr(call, "FIRST_WAIT_SECONDS", 0.0)
    opened: list[ChatServer] = []

    def start(*answers: Answer, script: Callable[[int, dict[str, Any]], Answer] | None = None) -> ChatServer:
        opened.append(ChatServer(script or (lambda n, _: answers[min(n, len(answers) - 1)])))
        return opened[-1]

    yield start
    for endpoint in opened:
        endpoint.close()


def request(question: str = "How much is 2 + 2?", **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "problem": Problem(id="q1", question=question),
        "purpose": Purpose.SOLVE,
        "messages": (Message(role="user", content=question),),
        **changes,
    }
    return Request(**fields)


@contextmanager
def opened(server: ChatServer, **settings: Any) -> Iterator[Endpoint]:
    teacher = OpenAI(base_url=server.base_url, model="m", **settings).open()
    assert isinstance(teacher, Endpoint)
    try:
        yield teacher
    finally:
        teacher.close()


def ask(server: ChatServer, *requests: Request, **settings: Any) -> list[Reply]:
    with opened(server, **settings) as teacher:
        return list(teacher.ask(requests or (request(),)))
