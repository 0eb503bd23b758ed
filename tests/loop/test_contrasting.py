"""A reviser holds the student against its guide: sequence correction in whole runs, and the same after a kill."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, history, problems

from elad.errors import ConfigError, StudentError
from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.methods.finding import find
from elad.plan.rehearsal import rehearse
from elad.records import Revision, from_json
from elad.stages import consulting

SCRG = "elad.methods.multi_granularity:Scrg"
GUIDE = {"student": {"engine": "fake", "skill": 1.0}}


def corrected(*overrides: str, **sections: Any) -> Experiment:
    plain = {"reviser": {"kind": SCRG}, "guide": GUIDE, "selector": {"kind": "random"}, "student": {"engine": "fake"}}
    return experiment(*overrides, **(plain | sections))


def revisions(folder: Path) -> list[Revision]:
    with Ledger(folder, write=False) as ledger:
        return [from_json(Revision, event.payload) for event in ledger.events(Kind.REVISION)]


def test_the_log_of_corrections_is_in_the_ledger(tmp_path: Path) -> None:
    run(corrected("rounds.count=1", "rounds.questions=20"), tmp_path)
    found = revisions(tmp_path)
    assert len(found) == 20
    logged = [one for one in found if one.detail["corrections"]]
    assert len(logged) > 5
    for one in logged:
        (entry,) = one.detail["corrections"]
        assert one.before[entry["start"] : entry["end"]] == entry["said"] != entry["preferred"]
        assert one.first_error is not None
        assert repr(entry["preferred"]) in one.reason
        if one.after is not None:
            assert one.after.startswith(one.before[: entry["start"]] + entry["preferred"])
            assert one.edit
            assert one.edit in one.after
    assert {one.charge.calls for one in found} == {0}
    assert any(one.after for one in logged)


class Killed(BaseException):
    """What ends a session at once."""


def killing(append: Callable[..., None], left: int) -> Callable[..., None]:
    def dying(self: Ledger, kind: Kind, items: Any, **named: Any) -> None:
        nonlocal left
        left -= kind in (Kind.CONTRAST, Kind.CONTINUATION, Kind.REVISION)
        if left == 0:
            raise Killed
        append(self, kind, items, **named)

    return dying


def test_killed_at_any_chunk_or_revision_it_goes_on_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consulting, "CHUNK", 2)
    few = ("rounds.count=1", "rounds.questions=3", "data.limit.pool=3", "data.limit.heldout=2", "reviser.corrections=2")
    mine = corrected(*few)
    run(mine, tmp_path / "whole")
    whole, moments = history(tmp_path / "whole"), 0
    while True:
        moments += 1
        folder = tmp_path / str(moments)
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "append", killing(Ledger.append, moments))
            try:
                run(mine, folder)
            except Killed:
                assert history(folder).items() < whole.items()
            else:
                break
        run(mine, folder)
        assert history(folder) == whole
    assert moments > 2 + 3  # chunks of contrasts, and the revisions


def test_another_guide_is_other_work(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        guide = {"student": {"engine": "fake", "skill": 1.0, "seed": seed}}
        run(corrected("rounds.count=1", guide=guide), tmp_path / name)
    one, other = ({key for key in history(tmp_path / name) if key.startswith("contrast/")} for name in "ab")
    assert len(one) == len(other) == 8
    assert not one & other


def test_a_plan_takes_the_guide_to_agree() -> None:
    mine = corrected()
    for student in (mine.student.open(), None):
        told = rehearse(mine, problems(3, 1, "p"), student)
        assert [charge.calls for charge in told.good] == [0, 0, 0]


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"guide": None}, r"reviser: 'elad.methods.multi_granularity:Scrg' asks .* say which: guide\.student"),
        ({"guide": {**GUIDE, "training": {}}}, r"guide\.training: the reviser asks it before it has learnt"),
    ],
)
def test_what_it_lacks_is_told_when_it_is_built(sections: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        corrected(**sections)


def test_a_guide_that_nobody_asks_is_still_refused() -> None:
    with pytest.raises(ConfigError, match="guide: is used by no one"):
        corrected(reviser={"kind": "rewrite"})


@pytest.mark.parametrize("missing", ["student", "guide"])
def test_the_method_is_refused_where_a_model_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Nothing is fetched: whoever would is told that there is no network."""
    monkeypatch.setenv("ELAD_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    mine = find("multi_granularity")
    if missing == "guide":
        mine = mine.but(student={"engine": "fake"})
    name = {"student": r"qwen2\.5-coder-0\.5b", "guide": r"qwen2\.5-coder-1\.5b"}[missing]
    with pytest.raises(StudentError, match=name):
        run(mine, tmp_path / "run")
    assert not (tmp_path / "run").exists()
