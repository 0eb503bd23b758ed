"""What waits for people who are the teacher, in a real browser."""

from pathlib import Path
from typing import Any

import pytest
from conftest import serving, window
from loop_kit import experiment

from elad.loop import run


def test_what_waits_has_no_serious_barrier(chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elad.teachers.human.stopping", lambda: True)
    run(experiment("rounds.count=1", "rounds.questions=2").but(teacher={"kind": "human"}), tmp_path)
    with serving(tmp_path, "ana") as links, window(chromium, links["ana"]) as ana:
        ana.open("/waiting").says("2 requests")
        assert ana.barriers() == []
        ana.page.locator("a.open").first.click()
        ana.says("Gold answer")
        assert ana.barriers() == []
