"""The pages and what they send back, as one application."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import ASGIApp

from elad.ledger.events import Kind
from elad.ledger.people import review_of
from elad.outcomes import RevisionOutcome
from elad.web.agreement import agreement
from elad.web.answering import JUDGES, Open, respond, waiting
from elad.web.desk import Desk
from elad.web.doors import Doors
from elad.web.forms import Refused, form_of, session_of
from elad.web.guard import ENTRANCE, Guard
from elad.web.live import now
from elad.web.rendering import page
from elad.web.reviewing import Said, decide
from elad.web.sheet import Sheet, sheet
from elad.web.wanted import ORDERS, REVIEWS, STATES, Wanted

_ASSETS: Mapping[str, str] = {
    "htmx.min.js": "text/javascript",
    "review.js": "text/javascript",
    "review.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_FOLDER = Path(__file__).parent / "assets"
_LOOK_SECONDS = 1.0
_BEATS = 15
"""Looks without news after which a stream says that it is still there."""
MOST_STREAMS = 16


def application(open_desk: Callable[[], Desk], doors: Doors, hosts: frozenset[str], cookie: str) -> ASGIApp:
    """The application over the desk that is opened where it is served, behind its guard.

    `hosts` are the names with port that it answers to, `cookie` is what its cookie is called.
    """
    pages = Pages(doors, cookie)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        with open_desk() as desk:
            pages.desk = desk
            yield

    quiet: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan, telemetry=quiet)
    app.add_exception_handler(Refused, _refused)
    for path, method, handler in (
        (ENTRANCE, "GET", pages.enter),
        ("/assets/{name}", "GET", pages.asset),
        ("/", "GET", pages.table),
        ("/questions/{key}", "GET", pages.question),
        ("/questions/{key}/review", "POST", pages.review),
        ("/waiting", "GET", pages.waiting),
        ("/waiting/{key}", "GET", pages.request),
        ("/waiting/{key}", "POST", pages.answer),
        ("/run", "GET", pages.run),
        ("/run/now", "GET", pages.run_now),
        ("/run/stream", "GET", pages.stream),
    ):
        app.add_api_route(path, handler, methods=[method], response_model=None)
    return Guard(app, doors, hosts, cookie)


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return PlainTextResponse(f"{error.why}\n", error.status)


class Pages:
    """What is answered to each address. All of it runs in the one thread of the server."""

    desk: Desk

    def __init__(self, doors: Doors, cookie: str) -> None:
        self._doors = doors
        self._cookie = cookie
        self._streams = 0

    async def enter(self, request: Request) -> Response:
        """A link's token becomes a cookie, once."""
        cookie = self._doors.enter(request.query_params.get("token", ""))
        if cookie is None:
            raise Refused(403, "This link was used, or is none of ours; each lets in once. Start `elad review` again.")
        response = RedirectResponse("/", 303)
        response.set_cookie(self._cookie, cookie, httponly=True, samesite="strict", path="/")
        return response

    async def asset(self, name: str) -> Response:
        """One of our own files, by a name that is on the list."""
        if name not in _ASSETS:
            raise Refused(404, "There is no such file.")
        return Response((_FOLDER / name).read_bytes(), media_type=_ASSETS[name])

    async def table(self, request: Request) -> HTMLResponse:
        """The questions, filtered and paged; the rows alone where only they are asked for."""
        wanted = Wanted.of(request.query_params)
        self.desk.refresh()
        found = self.desk.index.page(wanted)
        name = "rows.html" if request.headers.get("hx-target") == "rows" else "table.html"
        known = {"states": STATES, "outcomes": list(RevisionOutcome), "reviews": REVIEWS, "orders": list(ORDERS)}
        return self._page(request, name, wanted=wanted, found=found, remarks=self.desk.sources.remarks, **known)

    async def question(self, request: Request, key: str) -> HTMLResponse:
        """Everything about a question, and the way to its neighbours."""
        wanted = Wanted.of(request.query_params)
        told = self._sheet(key)
        before, after = self.desk.index.neighbours(key, wanted)
        return self._page(request, "question.html", sheet=told, wanted=wanted, before=before, after=after, said=None)

    async def review(self, request: Request, key: str) -> Response:
        """A decision, and the panel as it is then."""
        fields, reviewer = await form_of(request), session_of(request).reviewer
        told = self._sheet(key)
        repair = next((one for one in told.repairs if one.key == fields.get("revision")), None)
        if repair is None:
            said = Said(good=False, message="Nothing was saved: there is no such revision.")
        else:
            said = decide(self.desk, told, repair, fields, reviewer)
        if "hx-request" not in request.headers and said.good:
            return RedirectResponse(f"/questions/{key}", 303)
        wanted = Wanted.of({})
        before, after = self.desk.index.neighbours(key, wanted)
        name = "panel.html" if "hx-request" in request.headers else "question.html"
        more = {"wanted": wanted, "before": before, "after": after}
        return self._page(request, name, sheet=self._sheet(key), said=said, **more)

    async def waiting(self, request: Request) -> HTMLResponse:
        """What the run asks people, where they are its teacher."""
        self.desk.refresh()
        return self._page(request, "waiting.html", open=waiting(self.desk), said=None)

    async def request(self, request: Request, key: str) -> HTMLResponse:
        """One of these requests, to be answered."""
        return self._page(request, "request.html", asked=self._asked(key), judges=JUDGES, said=None, fields={})

    async def answer(self, request: Request, key: str) -> Response:
        """An answer; then what is still open, or the same form again with what was wrong in it."""
        fields, reviewer = await form_of(request), session_of(request).reviewer
        asked = self._asked(key)
        said = respond(self.desk, asked, fields, reviewer, time.time())
        if not said.good:
            return self._page(request, "request.html", asked=asked, judges=JUDGES, said=said, fields=fields)
        self.desk.refresh()
        left = waiting(self.desk)
        return RedirectResponse(f"/waiting/{left[0].key}" if left else "/waiting", 303)

    def _asked(self, key: str) -> Open:
        self.desk.refresh()
        found = next((one for one in waiting(self.desk) if one.key == key), None)
        if found is None:
            raise Refused(404, "Nothing of this kind waits for an answer; somebody may have given it.")
        return found

    async def run(self, request: Request) -> HTMLResponse:
        """Where the run is, what it measured, and how far reviewers agree."""
        return self._run(request, "run.html")

    async def run_now(self, request: Request) -> HTMLResponse:
        """The part of that page that changes."""
        return self._run(request, "now.html")

    async def stream(self, request: Request) -> Response:
        """Server-sent events: one when something was appended to the ledger, or the run has begun or ended."""
        session_of(request)
        if self._streams >= MOST_STREAMS:
            raise Refused(503, "Too many pages follow this run.")
        return StreamingResponse(self._news(request), media_type="text/event-stream")

    async def _news(self, request: Request) -> AsyncGenerator[str]:
        self._streams += 1
        try:
            seen, quiet = None, 0
            while not await request.is_disconnected():
                self.desk.refresh()
                state = (self.desk.index.seq, self.desk.state()[0])
                if state != seen:
                    seen, quiet = state, 0
                    yield f"data: {state[0]}\n\n"
                elif (quiet := quiet + 1) % _BEATS == 0:
                    yield ": still here\n\n"
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._streams -= 1

    def _run(self, request: Request, name: str) -> HTMLResponse:
        told = now(self.desk)
        reviews = (review_of(event) for event in self.desk.ledger.events(Kind.REVIEW))
        agreed = agreement(reviews, self.desk.index.outcomes())
        return self._page(request, name, now=told, agreed=agreed)

    def _sheet(self, key: str) -> Sheet:
        self.desk.refresh()
        desk = self.desk
        told = sheet(key, desk.index, desk.ledger, desk.sources, desk.task)
        if told is None:
            raise Refused(404, "There is no such question.")
        return told

    def _page(self, request: Request, name: str, **values: Any) -> HTMLResponse:
        session = session_of(request)
        human = self.desk.settings["teacher"]["kind"] == "human"
        return page(name, session=session, run=self.desk.name, human=human, **values)
