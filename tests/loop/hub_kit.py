"""A hub on loopback that takes what huggingface_hub uploads, and keeps what it was sent."""

import base64
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(kw_only=True)
class Hub:
    """What came in; `refuses` answers every write with 403 and what it was sent as a token."""

    refuses: bool = False
    address: str = ""
    created: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    tokens: set[str | None] = field(default_factory=set[str | None])

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        """What the hub says to a POST."""
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return {"url": f"{self.address}/me/mine"}
        if "/preupload/" in path:
            asked = json.loads(body)["files"]
            return {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked]}
        if "/commit/" in path:
            for told in map(json.loads, body.splitlines()):
                if told["key"] == "file":
                    self.files[told["value"]["path"]] = base64.b64decode(told["value"]["content"])
            return {"commitUrl": f"{self.address}/me/mine/commit/1", "commitOid": "1"}
        return {}


@contextmanager
def fake_hub(*, refuses: bool = False) -> Generator[Hub]:
    """A hub as long as the block lasts."""
    hub = Hub(refuses=refuses)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            token, body = self.headers.get("authorization"), self.rfile.read(int(self.headers.get("content-length", 0)))
            hub.tokens.add(token)
            told = {"error": f"no: {token}"} if hub.refuses else hub.answer(self.path, body)
            said = json.dumps(told).encode()
            self.send_response(403 if hub.refuses else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
