"""What a repair is to an objective: a pair, where it learns from pairs, and a part that counts more, where asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from guide_kit import Notes, events, watched
from loop_kit import experiment

from elad.ledger.events import Kind
from elad.loop import run
from elad.outcomes import RevisionOutcome
from elad.protocols import Fit
from elad.records import Example, Revision, from_json
from elad.students.fake import FakeStudent

PAIRS = ("objective.kind=dpo", "training.warm_start=true")


def taught(folder: Path, *overrides: str) -> list[Example]:
    """The rows after the warm-up of a run of one round."""
    with watched() as given:
        run(experiment("rounds.count=1", *overrides), folder)
    return [row for _, rows in given for row in rows if row.source != "warmup"]


def revisions(folder: Path) -> dict[str, Revision]:
    found = [from_json(Revision, event.payload) for event in events(folder, Kind.REVISION)]
    return {one.problem_id: one for one in found}


def test_a_repaired_chain_is_preferred_to_the_students_own(tmp_path: Path) -> None:
    rows, bought = taught(tmp_path, *PAIRS), revisions(tmp_path)
    repaired = [one for one in rows if bought[one.problem_id].outcome is RevisionOutcome.REPAIRED]
    assert repaired
    for one in rows:
        its = bought[one.problem_id]
        assert one.target == its.after
        assert one.rejected == (its.before.rstrip() if one in repaired else None)


def test_without_pairs_or_a_weight_rows_say_nothing_of_either(tmp_path: Path) -> None:
    rows = taught(tmp_path)
    assert rows
    assert {(one.rejected, one.marks) for one in rows} == {(None, ())}


def test_the_repaired_step_counts_as_often_as_is_asked(tmp_path: Path) -> None:
    rows, bought = taught(tmp_path, "edited_weight=2.5"), revisions(tmp_path)
    marked = [one for one in rows if one.marks]
    assert marked
    for one in rows:
        its = bought[one.problem_id]
        assert [(one.target[start:end], weight) for start, end, weight in one.marks] == (
            [(its.edit, 2.5)] if its.outcome is RevisionOutcome.REPAIRED else []
        )
        for start, _, _ in one.marks:
            assert its.before.startswith(one.target[:start].rstrip())


def test_rows_that_are_no_pairs_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = FakeStudent.fit

    def unpaired(self: FakeStudent, examples: Sequence[Example], *given: Any, **named: Any) -> Fit:
        made = fit(self, examples, *given, **named)
        lone = sum(one.rejected is None for one in examples)
        return Fit(student=made.student, summary={**made.summary, "unpaired": lone} if lone else made.summary)

    monkeypatch.setattr(FakeStudent, "fit", unpaired)
    notes = Notes()
    run(experiment("rounds.count=1", *PAIRS, reviser="rewrite"), tmp_path, notes)
    assert [one for one in notes.told if "no pairs" in one] == [
        "round 0: 4 of 4 rows are no pairs: nothing is learnt from them",
        "round 1: 8 of 8 rows are no pairs: nothing is learnt from them",
    ]
