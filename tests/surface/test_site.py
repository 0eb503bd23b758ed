"""The documentation site: what it lists is all that there is."""

from pathlib import Path

import pytest

from elad.kinds import kinds

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("room", ["tasks", "teachers", "uncertainty", "selection", "revision", "stopping"])
def test_every_strategy_is_listed_with_its_first_line(room: str) -> None:
    listed = [line.strip() for line in PAGE.splitlines() if line.strip().startswith(f"elad.{room}.")]
    assert sorted(listed) == [f"elad.{room}.{kind}" for kind in kinds(f"elad.{room}")]


@pytest.mark.parametrize("room", ["training.objectives", "training.feeds"])
def test_every_objective_and_feed_is_named(room: str) -> None:
    assert [kind for kind in kinds(f"elad.{room}") if f"`{kind}`" not in PAGE] == []


def test_every_page_is_reached() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in (ROOT / "docs").rglob("*.md")}
    assert pages - {"index"} <= set(index)
