"""What the tests of the doctor share: a server that can do everything, and a look at one."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from elad.doctor.endpoint import Looked, look
from elad.doctor.finding import Finding, Verdict
from elad.teachers.endpoint import Endpoint
from elad.teachers.openai import OpenAI

CANARY = "sk-canary-1234567890"
MODEL = "able-1"
Answer = tuple[int, dict[str, Any]]
"""Status and body."""
Change = Callable[[dict[str, Any], Answer], Answer]
"""Makes another answer of a request's body and the good answer to it."""


def unchanged(body: dict[str, Any], answer: Answer) -> Answer:
    return answer


def refuses(*fields: str, message: str = "unsupported parameter: {}", status: int = 400) -> Change:
    """An endpoint that turns down every request with one of the fields."""

    def change(body: dict[str, Any], answer: Answer) -> Answer:
        for field in fields:
            if field in body:
                return status, {"error": {"message": message.format(field), "code": None}}
        return answer

    return change


def says(**fields: Any) -> Change:
    """An endpoint whose completions have these fields; None takes one away."""

    def change(body: dict[str, Any], answer: Answer) -> Answer:
        whole = answer[1] | fields
        return answer[0], {name: value for name, value in whole.items() if value is not None}

    return change


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class AbleServer:
    """Structured output, log-probabilities, a prefix cache and idempotency keys, as far as `change` leaves them."""

    def __init__(self, change: Change = unchanged, listing: object = ..., props: object = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.change = change
        self.gets: Mapping[str, object] = {
            "/v1/models": {"data": [{"id": MODEL, "max_model_len": 4096}]} if listing is ... else listing,
            "/props": props,
        }
        self.kept: dict[str, Answer] = {}
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = server.gets.get(self.path)
                self.reply((404, {"error": "no such page"}) if found is None else (200, found))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != "/v1/chat/completions":
                    self.reply((404, {"error": "no such page"}))
                    return
                with server.lock:
                    self.reply(server.answer(body, self.headers.get("Idempotency-Key", "")))

            def reply(self, answer: tuple[int, object]) -> None:
                data = json.dumps(answer[1]).encode()
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, body: dict[str, Any], key: str) -> Answer:
        self.asked.append(body)
        if key in self.kept:
            return self.kept[key]
        answer = self.change(body, (200, self.completion(body)))
        if key:
            self.kept[key] = answer
        return answer

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        most = body.get("max_tokens") or body.get("max_completion_tokens")
        counted = "Count" in body["messages"][0]["content"]
        text = '{"legs_of_it": 4}' if "response_format" in body else "yes"
        size = len(body["messages"][0]["content"]) // 4
        top = [{"token": str(n), "logprob": -float(n)} for n in range(body.get("top_logprobs", 0))]
        return {
            "id": f"c{len(self.asked)}",
            "model": body["model"],
            "choices": [
                {
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "length" if counted else "stop",
                    "logprobs": {"content": [{"token": "yes", "top_logprobs": top}]} if body.get("logprobs") else None,
                }
            ],
            "usage": {
                "prompt_tokens": size,
                "completion_tokens": most if counted else 2,
                "prompt_tokens_details": {"cached_tokens": size // 2 if size > 1000 else 0},
            },
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def able(change: Change = unchanged, **more: Any) -> Iterator[AbleServer]:
    """The server, running."""
    server = AbleServer(change, **more)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def line(base_url: str, model: str = MODEL, **settings: Any) -> Iterator[Endpoint]:
    """An open endpoint."""
    endpoint = OpenAI(base_url=base_url, model=model, **settings).open()
    assert isinstance(endpoint, Endpoint)
    try:
        yield endpoint
    finally:
        endpoint.close()


def looked(base_url: str, model: str = MODEL, **settings: Any) -> Looked:
    """What the doctor finds, without a wait between attempts."""
    with line(base_url, model, **settings) as endpoint:
        return look(endpoint, "OPENAI_API_KEY", lambda _: None)


def verdicts(found: Looked) -> dict[str, Verdict]:
    """The verdict of each finding."""
    return {finding.name: finding.verdict for finding in found.findings}


def finding(found: Looked, name: str) -> Finding:
    """One finding."""
    (one,) = [finding for finding in found.findings if finding.name == name]
    return one
