"""Report and card tell that people have reviewed what the teacher wrote."""

from pathlib import Path

import pytest
from card_kit import card
from loop_kit import experiment
from test_reviewed import EDITED, decide

from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.outcomes import Decision
from elad.report.page.markdown import markdown
from elad.report.report import compose, gather


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two rounds; what was said after the first one is learnt in the second, but for the last word."""
    folder = tmp_path_factory.mktemp("reviewed")
    run(experiment("rounds.count=1"), folder)
    shown = [one["problem_id"] for one in gather(folder)["examples"] if one["outcome"] == "repaired"]
    with Ledger(folder, write=False) as ledger:
        keys = {event.payload["problem_id"]: event.key for event in ledger.events(Kind.REVISION)}
    for problem, decision in zip(shown, (Decision.EDIT, Decision.REJECT, Decision.ACCEPT), strict=False):
        decide(folder, (keys[problem], problem), decision)
    run(experiment("rounds.count=2"), folder)
    decide(folder, (keys[shown[2]], shown[2]), Decision.REJECT, seen=1)
    return folder


def test_report_and_card_count_the_reviews(reviewed: Path) -> None:
    told = gather(reviewed)
    assert "1 edited, 2 rejected by 1 person; round 2 learnt by 1 accepted, 1 edited, 1 rejected by 1 person" in (
        markdown(compose(told))
    )
    text = card(reviewed)
    assert "it learnt by 1 accepted, 1 edited, 1 rejected by 1 person" in text
    assert "by ana" not in text


def test_an_example_that_was_reviewed_says_so(reviewed: Path) -> None:
    told = gather(reviewed)
    found = {one["review"]["decision"]: one for one in told["examples"] if one["review"]}
    assert found["edit"]["review"]["after"] == EDITED
    assert found["reject"]["review"]["after"] is None
    text = markdown(compose(told))
    for words in ("edit, by a person", "reject, by a person", "As a person has edited it", "The teacher's chain"):
        assert words in text


def test_nobody_has_reviewed(tmp_path: Path) -> None:
    run(experiment("rounds.count=1"), tmp_path)
    assert "| reviewed by people | none |" in markdown(compose(gather(tmp_path)))
    assert "it learnt by none" in card(tmp_path)
