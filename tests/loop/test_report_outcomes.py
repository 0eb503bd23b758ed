"""How the report tells what became of drafts, replies, revisions and a guide's explanations."""

from pathlib import Path
from typing import Any

import pytest
from guide_kit import MENTOR, guided

from elad.ledger.events import Kind
from elad.loop import run
from elad.outcomes import ParseOutcome, ReplyOutcome, RevisionOutcome
from elad.report.page.document import Table
from elad.report.page.markdown import markdown
from elad.report.parts import outcomes
from elad.report.report import compose, gather


def rows(told: dict[str, Any]) -> list[tuple[str, ...]]:
    return next([tuple(row) for row in part.rows] for part in outcomes.section(told).parts if isinstance(part, Table))


def test_what_a_guide_explained_is_told_as_right_or_wrong(tmp_path: Path) -> None:
    run(guided(guide={"student": MENTOR, "samples": 3}), tmp_path)
    told = gather(tmp_path)
    assert "guide's explanation" in markdown(compose(told))
    counts = told["status"]["outcomes"]["guided"]
    found = [row for row in rows(told) if row[0] == "guide's explanation"]
    assert {name: count for _, name, _, count, *_ in found} == {name: f"{count:,}" for name, count in counts.items()}
    assert {(name, kept) for _, name, kept, *_ in found} == {("right", "yes"), ("wrong", "no: failure")}


@pytest.mark.parametrize(
    ("group", "names"),
    [
        (Kind.DRAFT, list(ParseOutcome)),
        (Kind.REPLY, list(ReplyOutcome)),
        (Kind.LOST, list(ReplyOutcome)),
        (Kind.REVISION, list(RevisionOutcome)),
        (Kind.GUIDED, ["right", "wrong"]),
    ],
)
def test_every_outcome_has_words(group: Kind, names: list[str]) -> None:
    found = rows({"status": {"outcomes": {str(group): dict.fromkeys(map(str, names), 1)}}, "lost": {}})
    assert {row[1] for row in found} == set(names)
    assert all(row[0] and row[5] for row in found)
