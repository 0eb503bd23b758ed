"""What no request gets past, and what every response carries: around the whole application, errors too."""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from elad.web.doors import Doors

ENTRANCE = "/enter"
_METHODS = frozenset({"GET", "HEAD", "POST"})
_MOST_PATH = 512
_MOST_QUERY = 2048
HEADERS: Mapping[str, str] = {
    "content-security-policy": "; ".join([
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}  # fmt: skip


class Guard:
    """An ASGI application that lets through what comes from this origin's own pages, in a session.

    It refuses hosts that are not its own (a name that was rebound to this machine), origins that are not its own,
    changes without an origin, methods and lengths that no page of ours sends, and whoever has no session, but for
    the entrance. The session is in the request's state.
    """

    def __init__(self, app: ASGIApp, doors: Doors, hosts: frozenset[str], cookie: str) -> None:
        """`hosts` are the names with port that it answers to; `cookie` is the name of the session's cookie."""
        self._app = app
        self._doors = doors
        self._hosts = hosts
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"no {scope['type']} is served")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope)
        if refusal:
            status, why = refusal
            await PlainTextResponse(f"{why}\n", status)(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason; None where the request may pass, with its session in the scope."""
        headers = Headers(scope=scope)
        if scope["method"] not in _METHODS:
            return 405, "This method is not served."
        if len(scope.get("raw_path") or scope["path"]) > _MOST_PATH or len(scope["query_string"]) > _MOST_QUERY:
            return 414, "This address is too long."
        if len(headers.getlist("host")) != 1 or headers["host"].lower() not in self._hosts:
            return 421, "This host is not served."
        if self._foreign(scope["method"], headers):
            return 403, "This request comes from another site."
        session = self._doors.session(self._cookie_of(headers))
        if session is None and scope["path"] != ENTRANCE:
            return 403, "Open the page by the link that `elad review` has printed; each link lets in once."
        state: dict[str, Any] = scope.setdefault("state", {})
        state["session"] = session
        return None

    def _foreign(self, method: str, headers: Headers) -> bool:
        """Whether another site has sent it, or made a page of ours send it; a change must tell where it is from."""
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "none" if method != "POST" else "same-origin")
        if site not in ("same-origin", "none"):
            return True
        if origin is None:
            return method == "POST"
        return origin.lower() != f"http://{headers['host'].lower()}"

    def _cookie_of(self, headers: Headers) -> str | None:
        try:
            jar = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return None
        return jar[self._cookie].value if self._cookie in jar else None
