"""A first score that costs nothing: what it keeps, what it leaves out, and that a run goes on under it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, history
from rich.console import Console

from elad.asks import Generation
from elad.errors import ConfigError
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.report.status import round_table, status
from elad.students.fake import FakeStudent


def payloads(folder: Path, kind: Kind, number: int) -> list[Any]:
    with Ledger(folder, write=False) as ledger:
        return [event.payload for event in ledger.events(kind) if event.round == number]


def test_only_the_most_surprising_drafts_are_scored_and_picked(tmp_path: Path) -> None:
    run(experiment("rounds.count=1", "prefilter.keep=1.5"), tmp_path)
    surprise = {draft["problem_id"]: draft["surprise"] for draft in payloads(tmp_path, Kind.DRAFT, 1)}
    picks = [pick["problem_id"] for pick in payloads(tmp_path, Kind.PICK, 1)]
    (told,) = payloads(tmp_path, Kind.PREFILTER, 1)
    assert len(payloads(tmp_path, Kind.SCORE, 1)) == 12
    assert told == {"drafts": 30, "kept": 12, "least_surprise": sorted(surprise.values())[-12]}
    assert len(picks) == 8
    assert all(surprise[pick] >= told["least_surprise"] for pick in picks)


def test_the_picks_are_those_of_full_scoring_among_what_is_kept(tmp_path: Path) -> None:
    run(experiment("rounds.count=1", "rounds.questions=30"), tmp_path / "all")
    run(experiment("rounds.count=1", "prefilter.keep=2"), tmp_path / "some")
    ranked = [pick["problem_id"] for pick in payloads(tmp_path / "all", Kind.PICK, 1)]
    (told,) = payloads(tmp_path / "some", Kind.PREFILTER, 1)
    surprise = {draft["problem_id"]: draft["surprise"] for draft in payloads(tmp_path / "some", Kind.DRAFT, 1)}
    kept = [id for id in ranked if surprise[id] >= told["least_surprise"]]
    scores = {pick["problem_id"]: pick["aggregate"] for pick in payloads(tmp_path / "all", Kind.PICK, 1)}
    picked = [pick["problem_id"] for pick in payloads(tmp_path / "some", Kind.PICK, 1)]
    assert [scores[id] for id in picked] == [scores[id] for id in kept[:8]]
    assert set(picked) != set(ranked[:8])


def test_what_keeps_everything_changes_nothing(tmp_path: Path) -> None:
    run(experiment(), tmp_path / "off")
    run(experiment("prefilter.keep=30"), tmp_path / "wide")
    assert history(tmp_path / "off") == history(tmp_path / "wide")
    assert {turn["prefiltered"] for turn in status(tmp_path / "wide")["rounds"]} == {0}


def test_what_was_left_out_is_told(tmp_path: Path) -> None:
    run(experiment("prefilter.keep=1"), tmp_path)
    told = status(tmp_path)
    assert [turn["prefiltered"] for turn in told["rounds"]] == [0, 22, 14]
    console = Console(width=200)
    with console.capture() as shown:
        console.print(round_table(told))
    assert "not scored" in shown.get()


def test_a_round_keeps_its_picks_though_the_cap_is_lowered(tmp_path: Path) -> None:
    run(experiment("budget.calls=3", "prefilter.keep=1", "rounds.count=1"), tmp_path)
    before = payloads(tmp_path, Kind.PICK, 1)
    run(experiment("budget.questions=4", "prefilter.keep=1", "rounds.count=1"), tmp_path)
    assert len(before) == len(payloads(tmp_path, Kind.REVISION, 1)) == 8
    assert payloads(tmp_path, Kind.PICK, 1) == before


def test_a_selector_without_scores_has_none_to_spare() -> None:
    with pytest.raises(ConfigError, match=r"prefilter\.keep: spares scores, and the selector 'random' needs none"):
        experiment("prefilter.keep=4", selector={"kind": "random"})


@pytest.mark.parametrize(("setting", "told"), [("keep=0.5", r"prefilter\.keep"), ("kept=4", "did you mean 'keep'")])
def test_settings_out_of_their_range_are_refused_by_name(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        experiment(f"prefilter.{setting}")


def test_drafts_that_do_not_tell_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate = FakeStudent.generate

    def silent(self: FakeStudent, *given: Any) -> list[Generation]:
        return [replace(one, surprise=None) for one in generate(self, *given)]

    monkeypatch.setattr(FakeStudent, "generate", silent)
    with pytest.raises(ConfigError, match=r"prefilter\.keep: the draft of 'p\d+' carries no surprise"):
        run(experiment("prefilter.keep=2"), tmp_path)
