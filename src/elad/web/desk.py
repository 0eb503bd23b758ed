"""A run laid open: its ledger, its questions and the table over both, brought up to date before each look."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from elad.errors import RunFolderError
from elad.kinds import build
from elad.ledger.events import Kind, Ledger, is_held
from elad.ledger.migrations import SCHEMA_VERSION
from elad.protocols import Task
from elad.report.runs import state_of
from elad.web.index import Index
from elad.web.sources import Sources, read_sources


class Desk:
    """What the page looks at. For one thread."""

    def __init__(self, folder: Path) -> None:
        """Opens the run and reads it once.

        Raises: RunFolderError where there is no run, or one of an earlier version that a process holds.
        """
        _bring_up_to_date(folder)
        self.folder = folder
        self.ledger = Ledger(folder, write=False)
        try:
            session, identity = _latest_session(self.ledger), self.ledger.meta("identity")
            if session is None or identity is None:
                raise RunFolderError(f"{folder}: holds no session; begin the run first")
            self.settings: Mapping[str, Any] = session["experiment"]
            self.name = self.ledger.meta("name") or ""
            self.task: Task = build("elad.tasks", self.settings["task"], "task")
            self.sources: Sources = read_sources(session, json.loads(identity))
            self.index = Index(self.sources, self.settings)
            self.refresh()
        except BaseException:
            self.ledger.__exit__(None, None, None)
            raise

    def __enter__(self) -> "Desk":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.index.close()
        self.ledger.__exit__(None, None, None)

    def refresh(self) -> None:
        """Takes in what the run and other people have appended since."""
        self.index.refresh(self.ledger)

    def state(self) -> tuple[str, str]:
        """Whether the run is under way, or how it ended, and why, in words of ours."""
        if is_held(self.folder):
            return "running", "a process holds the folder"
        state, reason = state_of(self.ledger)
        return state, "" if state == "failed" else reason  # what a failure says may name files


def _bring_up_to_date(folder: Path) -> None:
    """A reader of an earlier version would be given a copy that stands still.

    Raises: RunFolderError when it is held.
    """
    with Ledger(folder, write=False) as ledger:
        current = ledger.version == SCHEMA_VERSION
    if not current:
        Ledger(folder, write=True).__exit__(None, None, None)


def _latest_session(ledger: Ledger) -> Any | None:
    latest = None
    for event in ledger.events(Kind.SESSION):
        latest = event.payload
    return latest
