"""A run under way in a real browser: its progress, and people who are its teacher."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import Tab, serving, window

from elad.ledger.events import FILE, Kind, Ledger
from elad.ledger.reconcile import reconcile
from elad.records import Round, from_json

KITS = Path(__file__).resolve().parents[1] / "loop"


@contextmanager
def under_way(folder: Path, teacher: str) -> Generator[subprocess.Popen[bytes]]:
    """A run of one round on fakes in a process of its own, once it has begun."""
    program = f"""
        import sys
        sys.path.insert(0, {str(KITS)!r})
        from pathlib import Path
        from loop_kit import experiment
        from elad.loop import run
        made = experiment("rounds.count=1", "rounds.questions=2").but(teacher={{"kind": {teacher!r}}})
        run(made, Path({str(folder)!r}))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], env=dict(os.environ))
    try:
        while not _waits(folder):
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()


def _waits(folder: Path) -> bool:
    """Whether it has come to asking."""
    if not (folder / FILE).exists():
        return False
    with Ledger(folder, write=False) as ledger:
        return next(ledger.events(Kind.REQUEST), None) is not None


def asked(tab: Tab, process: subprocess.Popen[bytes]) -> bool:
    """Whether the run asks again before it ends; then the tab has the request open."""
    while process.poll() is None:
        first = tab.open("/waiting").page.locator("a.open").first
        if first.count():
            first.click()
            tab.says("Gold answer")
            return True
    return False


def answer(tab: Tab) -> None:
    """Answers what is open as a person would, by what is to be seen."""
    if tab.page.get_by_role("radio").count():
        tab.page.get_by_role("radio").first.check()
        tab.page.get_by_label("Why").fill("it does not add up")
    else:
        gold = tab.page.locator("dd bdi").first.inner_text()
        tab.page.locator("textarea").fill(f"{gold} = {gold}.\nThe answer is {gold}.")
    tab.page.get_by_role("button", name="Save the answer").click()
    tab.page.wait_for_load_state("load")


def test_people_teach_while_another_window_follows(chromium: Any, tmp_path: Path) -> None:
    folder, answered = tmp_path / "run", 0
    with (
        under_way(folder, "human") as process,
        serving(folder, "ana", "ben", "cem") as links,
        window(chromium, links["ana"]) as ana,
        window(chromium, links["ben"]) as ben,
        window(chromium, links["cem"]) as cem,
    ):
        ben.open("/run").says("running")
        ben.says("0 of 2")
        cem.open("/waiting").says("2 requests")
        assert cem.barriers() == []
        while asked(ana, process):
            assert answered or ana.barriers() == []
            answer(ana)
            answered += 1
        ben.says("finished")
        ben.says("2 of 2")
        cem.says("Nothing waits for an answer now")
        assert process.wait() == 0
    with Ledger(folder, write=False) as ledger:
        told = [event.payload["reviewer"] for event in ledger.events(Kind.ANSWER)]
        assert told == ["ana"] * answered
        assert reconcile(ledger).problems == ()
        last = [from_json(Round, event.payload) for event in ledger.events(Kind.ROUND)][-1]
    assert last.revisions == {"repaired": 2}
