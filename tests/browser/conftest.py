"""The review page in Debian's Chromium, served by `elad review` in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra `web`")
playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
AXE = Path(__file__).with_name("axe.min.js")
SERIOUS = {"serious", "critical"}


@dataclass(kw_only=True)
class Tab:
    """A reviewer's window; what must not happen in it is gathered in `faults`."""

    page: Any
    origin: str
    faults: list[str] = field(default_factory=list)

    def open(self, address: str = "/") -> "Tab":
        """Goes to an address of the page."""
        self.page.goto(f"{self.origin}{address}")
        return self

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def says(self, text: str) -> None:
        """Waits until the text is to be seen, in a page that listens to keys."""
        self.page.get_by_text(text).first.wait_for()
        self.page.wait_for_load_state("load")

    def barriers(self) -> list[str]:
        """What axe-core finds that keeps people out, seriously."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{fault['id']}: {node['target']} {node['failureSummary']}"
            for fault in found["violations"]
            if fault["impact"] in SERIOUS
            for node in fault["nodes"]
        ]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; tests that need it skip where it is missing."""
    if not CHROMIUM.exists():
        pytest.skip("needs Debian's chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def serving(folder: Path, *names: str) -> Generator[dict[str, str]]:
    """The link of each reviewer, while `elad review` serves the folder."""
    given = [word for name in names for word in ("--as", name)]
    command = [sys.executable, "-m", "elad.cli", "review", str(folder), "--port", "0", *given]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"NO_COLOR": "1"})
    assert process.stdout
    try:
        links = dict(process.stdout.readline().strip().split(": ", 1) for _ in names)
        assert set(links) == set(names), links
        yield links
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@contextmanager
def window(chromium: Any, link: str, **settings: Any) -> Generator[Tab]:
    """A window of its own, come in by the link; at its end, nothing may have gone wrong in it."""
    origin = re.match(r"http://[^/]+", link)
    assert origin
    context = chromium.new_context(**settings)
    tab = Tab(page=context.new_page(), origin=origin[0])

    def only_ours(route: Any) -> None:
        if route.request.url.startswith(f"{tab.origin}/"):
            route.continue_()
        else:
            tab.faults.append(f"a request leaves for {route.request.url}")
            route.abort()

    context.route("**/*", only_ours)
    tab.page.on("pageerror", lambda error: tab.faults.append(f"an error: {error}"))
    tab.page.on("dialog", lambda dialog: (tab.faults.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    tab.page.on("console", lambda told: told.type in ("error", "warning") and tab.faults.append(told.text))
    try:
        assert tab.page.goto(link).ok
        yield tab
        assert tab.faults == []
    finally:
        context.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on fakes that has come to its end."""
    from loop_kit import experiment

    from elad.loop import run

    folder = tmp_path_factory.mktemp("finished")
    run(experiment(), folder)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may write to."""
    return copytree(finished, tmp_path / "run")
