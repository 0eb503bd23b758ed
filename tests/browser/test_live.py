"""A run under way in a real browser: its progress, and people who are its teacher."""

import subprocess
import sys
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import Tab, serving, window

from elad.ledger.events import Kind, Ledger
from elad.ledger.reconcile import reconcile
from elad.records import Round, from_json

KITS = Path(__file__).resolve().parents[1] / "loop"
ANSWERS = 4
"""Of two questions: which step is wrong, and how it goes on from there."""


@contextmanager
def under_way(folder: Path) -> Generator[subprocess.Popen[str]]:
    """A run of one round with people as its teacher, in a process of its own, once it waits for them."""
    program = f"""
        import sys
        sys.path.insert(0, {str(KITS)!r})
        from pathlib import Path
        from loop_kit import experiment
        from elad.loop import run
        from elad.progress import Silent

        class Telling(Silent):
            def note(self, text):
                print(text, flush=True)

        made = experiment("rounds.count=1", "rounds.questions=2").but(teacher={{"kind": "human"}})
        run(made, Path({str(folder)!r}), Telling())
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        assert any("2 questions wait for people" in line for line in process.stdout)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


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
    folder = tmp_path / "run"
    with (
        under_way(folder) as process,
        serving(folder, "ana", "ben", "cem") as links,
        window(chromium, links["ana"]) as ana,
        window(chromium, links["ben"]) as ben,
        window(chromium, links["cem"]) as cem,
    ):
        ben.open("/run").says("running")
        ben.says("0 of 2")
        cem.open("/waiting").says("2 requests")
        assert cem.barriers() == []
        for place in range(ANSWERS):
            ana.open("/waiting")
            ana.page.locator("a.open").first.click()  # waits until the run asks, and the page has heard of it
            ana.says("Gold answer")
            assert place or ana.barriers() == []
            answer(ana)
        assert process.wait() == 0
        ben.says("finished")
        ben.says("2 of 2")
        cem.says("Nothing waits for an answer now")
    with Ledger(folder, write=False) as ledger:
        told = [event.payload["reviewer"] for event in ledger.events(Kind.ANSWER)]
        assert told == ["ana"] * ANSWERS
        assert reconcile(ledger).problems == ()
        last = [from_json(Round, event.payload) for event in ledger.events(Kind.ROUND)][-1]
    assert last.revisions == {"repaired": 2}
