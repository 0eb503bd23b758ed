"""The state of a run under way, and the stream that tells when it changes."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment
from web_kit import append, sitting

from elad.ledger.events import MAIN, Kind, Ledger
from elad.loop import run
from elad.web.app import MOST_STREAMS, Pages
from elad.web.desk import Desk
from elad.web.doors import Doors
from elad.web.live import now


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run")
    run(experiment(), made)
    return made


def test_the_state_adds_up_to_what_the_ledger_holds(folder: Path) -> None:
    with Desk(folder) as desk, Ledger(folder, write=False) as ledger:
        told = now(desk)
        assert (told.state, told.round, told.of_rounds, told.questions) == ("finished", 2, 2, 16)
        assert told.spent == ledger.spent()
        assert told.seconds == pytest.approx(ledger.elapsed_seconds())
        assert [turn.round for turn in told.rounds] == [0, 1, 2]
        assert {step.name: (step.done, step.of) for step in told.steps} == {
            "drafted": (22, 22),
            "scored": (22, None),
            "picked": (8, None),
            "revised": (8, 8),
            "trained": (1, None),
            "graded": (12, 12),
        }


def test_a_run_under_way_is_followed_while_another_process_writes(folder: Path) -> None:
    with Desk(folder) as desk:
        before = now(desk)
        with Ledger(folder, write=True) as ledger:
            ledger.of(MAIN).append(Kind.PICK, [("next", _pick(folder))], round=3)
            during = now(desk)
        assert (before.state, during.state) == ("finished", "running")
        assert during.round == 3
        assert {step.name: step.done for step in during.steps}["picked"] == 1


def _pick(folder: Path) -> Any:
    with Ledger(folder, write=False) as ledger:
        return next(ledger.events(Kind.PICK)).payload


class Connection:
    """A browser that stays for so many looks, doing something before each."""

    def __init__(self, *acts: Any) -> None:
        self.acts = list(acts)

    async def is_disconnected(self) -> bool:
        if not self.acts:
            return True
        self.acts.pop(0)()
        return False


def test_the_stream_tells_of_each_change_and_of_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elad.web.app._LOOK_SECONDS", 0)
    monkeypatch.setattr("elad.web.app._BEATS", 2)
    pages = Pages(Doors(), "c")

    def change() -> None:
        append(folder, Kind.STAGE, f"s{pages.desk.index.seq}", {"stage": "x", "seconds": 1.0}, 2)

    def rest() -> None:
        pass

    async def gathered(news: AsyncGenerator[str]) -> list[str]:
        return [told async for told in news]

    with Desk(folder) as pages.desk:
        connection: Any = Connection(rest, rest, change, rest, rest)
        told = asyncio.run(gathered(pages._news(connection)))
        assert [line.split(":")[0] for line in told] == ["data", "data", ""]
        assert told[0] != told[1]
        assert told[1] == f"data: {pages.desk.index.seq}\n\n"


def test_streams_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Pages, *given: Any) -> None:
        made(self, *given)
        self._streams = MOST_STREAMS

    made = Pages.__init__
    monkeypatch.setattr(Pages, "__init__", full)
    with sitting(folder) as seat:
        assert seat.client.get("/run/stream").status_code == 503
