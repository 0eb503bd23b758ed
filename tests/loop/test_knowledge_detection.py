"""Knowledge detection in the loop, on fakes: what the student learns from, what is written down, and after a kill."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, history, problems
from test_consulting import Killed, killing

from elad.experiment import Data, Experiment
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.protocols import Fit
from elad.records import Example, Revision, from_json
from elad.report.status import status
from elad.students.fake import FakeStudent

KIND = "elad.methods.knowledge_detection:KnowledgeDetection"


def detecting(*overrides: str, **reviser: Any) -> Experiment:
    """One round of six questions, each with a passage; the student is its own judge and slips at random."""
    pool = tuple(replace(one, metadata={"passage": f"Note: {one.rationale}"}) for one in problems(6, 1, "p"))
    return experiment(
        "rounds.count=1",
        "rounds.questions=6",
        *overrides,
        data=Data(pool=pool, heldout=problems(2, 2, "h"), warmup=problems(4, 3, "w")),
        reviser={"kind": KIND, "samples": 3} | reviser,
        objective={"kind": "dpo", "beta": 0.3},
        training={"warm_start": True},
        selector={"kind": "random"},
    )


def revisions(folder: Path) -> list[Revision]:
    with Ledger(folder, write=False) as ledger:
        return [from_json(Revision, event.payload) for event in ledger.events(Kind.REVISION)]


def test_pairs_are_learnt_from_without_their_passages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Sequence[Example]] = []
    fit = FakeStudent.fit

    def noted(self: FakeStudent, examples: Sequence[Example], *args: Any, **named: Any) -> Fit:
        given.append(examples)
        return fit(self, examples, *args, **named)

    monkeypatch.setattr(FakeStudent, "fit", noted)
    run(detecting(consistency=None, unknown=None), tmp_path)
    warmup, pairs = given
    assert all(example.rejected is None for example in warmup)
    assert pairs
    for example in pairs:
        assert example.rejected
        assert example.rejected != example.target
        assert not any("Note:" in message.content for message in example.messages)
    kept = [one for one in revisions(tmp_path) if one.outcome.trainable]
    assert {(one.after, one.rejected) for one in kept} == {(one.target, one.rejected) for one in pairs}
    assert len(kept) == len(pairs)


@pytest.mark.parametrize(("unknown", "outcome"), [(0.0, "rewritten"), (1.0, "known")])
def test_what_the_filters_went_by_is_in_the_ledger_and_the_teacher_is_never_asked(
    tmp_path: Path, unknown: float, outcome: str
) -> None:
    run(detecting(consistency=None, unknown=unknown), tmp_path)
    found = revisions(tmp_path)
    assert len(found) == 6
    for one in found:
        assert one.detail["judge"] == "student"
        assert len(one.detail["with"]) == len(one.detail["without"]) == 3
        assert 0 < one.detail["unknown"] < 1
    told = status(tmp_path)
    assert told["outcomes"]["revision"] == {outcome: 6}
    assert told["spent"]["calls"] == 0


@pytest.mark.parametrize("moment", [1, 2, 4, 7])
def test_killed_it_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    run(detecting(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", killing(Ledger.append, moment))
        with pytest.raises(Killed):
            run(detecting(), tmp_path / "cut")
    assert history(tmp_path / "cut").items() < history(tmp_path / "whole").items()
    run(detecting(), tmp_path / "cut")
    assert history(tmp_path / "cut") == history(tmp_path / "whole")


def test_another_seed_draws_other_samples(tmp_path: Path) -> None:
    for seed in (0, 1):
        run(detecting(f"seed={seed}", consistency=None, unknown=None), tmp_path / str(seed))
    one, other = ({r.problem_id: (r.after, r.rejected, r.detail) for r in revisions(tmp_path / s)} for s in "01")
    assert one.keys() == other.keys()
    assert one != other
