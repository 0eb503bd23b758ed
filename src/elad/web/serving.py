"""The page served: where it listens, and the links that let people in."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from elad.errors import InputError
from elad.web.app import application
from elad.web.desk import Desk
from elad.web.doors import Doors
from elad.web.guard import ENTRANCE

LOOPBACK = "127.0.0.1"
_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
_EVERYWHERE = ("", "0.0.0.0", "::")
_GRACE_SECONDS = 2


def serve(folder: Path, reviewers: Sequence[str], *, host: str, port: int, tell: Callable[[str, str], None]) -> None:
    """Serves the review page of a run until Ctrl-C; `tell` is given each reviewer and their link before that.

    With port 0 the system chooses one. Raises: RunFolderError for a folder that holds no run, InputError where it
    cannot listen there.
    """
    if host in _EVERYWHERE:
        raise InputError(f"--host {host}: give the name or address that reviewers will use; other names are refused")
    desk = Desk(folder)
    listening = _listen(host, port)
    taken = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    doors = Doors()
    names = {shown, *(_OWN_NAMES if host in (LOOPBACK, "localhost", "::1") else ())}
    app = application(lambda: desk, doors, frozenset(f"{name}:{taken}".lower() for name in names), f"elad-{taken}")
    for reviewer in reviewers:
        tell(reviewer, f"http://{shown}:{taken}{ENTRANCE}?token={doors.invite(reviewer)}")
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # it would hold the tokens
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise InputError(f"--host {host} --port {port}: cannot listen there: {error}") from error
