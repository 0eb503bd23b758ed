"""Samples only where they can matter: the picks are those of all samples, and resuming changes nothing."""

from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, history, problems

from elad.errors import ConfigError
from elad.experiment import Data, Experiment
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.progress import Silent

POOL, SAMPLES, FEW = 40, 4, 2


def large(*overrides: str, seed: int = 0, **sections: Any) -> Experiment:
    data = Data(pool=problems(POOL, seed + 10, "p"), heldout=problems(4, 2, "h"))
    uncertainty = {"kind": "elad", "samples": SAMPLES}
    settings = (f"seed={seed}", "rounds.questions=5", *overrides)
    return experiment(*settings, data=data, **({"uncertainty": uncertainty} | sections))


def of_kind(folder: Path, kind: Kind) -> list[Any]:
    with Ledger(folder, write=False) as ledger:
        return [event.payload for event in ledger.events(kind)]


@pytest.mark.parametrize(("aggregate", "seed"), [("mean", 0), ("max", 1), ("mean", 2)])
def test_the_picks_are_those_of_all_samples(tmp_path: Path, aggregate: str, seed: int) -> None:
    setting = f"uncertainty.aggregate={aggregate}"
    run(large(setting, seed=seed), tmp_path / "all")
    run(large(setting, f"adaptive.few={FEW}", seed=seed), tmp_path / "few")
    for kind in (Kind.PICK, Kind.REVISION, Kind.ROUND):
        same = ("problem_id", "rank", "aggregate", "picks", "after", "accuracy")
        told, wanted = (
            [{key: one[key] for key in same if key in one} for one in of_kind(tmp_path / name, kind)]
            for name in ("few", "all")
        )
        assert told == wanted
    scores, all_scores = of_kind(tmp_path / "few", Kind.SCORE), of_kind(tmp_path / "all", Kind.SCORE)
    by_few = [one for one in scores if len(one["detail"]["sampled"][0]) == FEW]
    whole = [one for one in scores if len(one["detail"]["sampled"][0]) == SAMPLES]
    unanswered = [one for one in all_scores if not one["detail"]["sampled"][0]]
    assert len(by_few) == len(all_scores) - len(unanswered)
    assert 0 < len(whole) < len(all_scores)
    assert all(one in all_scores for one in whole)


def test_cut_off_and_resumed_it_ends_the_same(tmp_path: Path) -> None:
    few = f"adaptive.few={FEW}"
    run(large("rounds.count=1", few), tmp_path / "a")
    run(large("rounds.count=2", few), tmp_path / "a")
    before = history(tmp_path / "a")
    run(large("rounds.count=2", few), tmp_path / "a")
    run(large("rounds.count=2", few), tmp_path / "b")
    assert history(tmp_path / "a") == before == history(tmp_path / "b")


def test_what_was_spared_is_told(tmp_path: Path) -> None:
    class Notes(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    run(large(f"adaptive.few={FEW}", "rounds.count=1"), tmp_path, Notes())
    whole = len(of_kind(tmp_path, Kind.SCORE)) - POOL
    assert [one for one in said if "samples" in one] == [
        f"round 1: {POOL - whole} of {POOL} chains were scored by 2 samples alone: more could not get them picked"
    ]


@pytest.mark.parametrize(
    ("few", "sections", "told"),
    [
        (2, {"selector": {"kind": "random"}}, "'random' does not rank"),
        (4, {}, r"samples: 4"),
        (2, {"uncertainty": {"kind": "elad", "weight": 1.0}}, "weight below 1"),
        (0, {}, r"adaptive\.few"),
    ],
)
def test_where_it_makes_no_sense_it_is_refused(few: int, sections: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        large(f"adaptive.few={few}", **sections)
