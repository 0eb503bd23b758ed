"""What is too long: questions for the context, rows for training."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, problems
from rich.console import Console

from elad.errors import ConfigError
from elad.experiment import Data
from elad.ledger.events import Event, Kind, Ledger
from elad.loop import run
from elad.outcomes import RevisionOutcome
from elad.plan.plan import plan
from elad.progress import Silent
from elad.protocols import Fit
from elad.records import Example, Round, from_json, to_json
from elad.report.status import round_table, status
from elad.students.fake import FakeStudent

TRAINABLE = {outcome.value for outcome in RevisionOutcome if outcome.trainable}


def with_long_questions() -> Data:
    """Three questions of the pool and two held-out ones that go beyond the context of `NARROW`."""
    pool, heldout = problems(12, 1, "p"), problems(6, 2, "h")
    lengthened = [replace(one, context="Once upon a time. " * 200) for one in (*pool[:3], *heldout[:2])]
    return Data(pool=(*lengthened[:3], *pool[3:]), heldout=(*lengthened[3:], *heldout[2:]), warmup=problems(4, 3, "w"))


NARROW = {"engine": "fake", "context": 3000}


class Notes(Silent):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


@pytest.mark.parametrize("selector", ["top", "random"])
def test_questions_that_do_not_fit_the_context_are_told_and_never_bought(tmp_path: Path, selector: str) -> None:
    notes = Notes()
    one = experiment("rounds.count=9", data=with_long_questions(), student=NARROW, selector={"kind": selector})
    rounds = run(one, tmp_path, notes)
    assert sorted(pick for turn in rounds for pick in turn.picks) == sorted(f"p{i}" for i in range(3, 12))
    assert len(rounds) == 3  # the pool is at its end when nothing else is left
    with Ledger(tmp_path, write=False) as ledger:
        drafts = [event.payload for event in ledger.events(Kind.DRAFT)]
        grades = [event.payload["grade"] for event in ledger.events(Kind.GRADE)]
    assert [one["problem_id"] for one in drafts if one["outcome"] == "too long"] == ["p0", "p1", "p2"]
    assert {one["problem_id"] for one in grades if one["outcome"] == "too long"} == {"h0", "h1"}
    assert not any(one["strict"] or one["lenient"] for one in grades if one["outcome"] == "too long")
    assert status(tmp_path)["outcomes"]["draft"]["too long"] == 3
    assert [note for note in notes.told if "fit" in note] == [
        "2 of 6 held-out questions do not fit the student's context: they count as wrong",
        "3 of 12 questions do not fit the student's context: they are never bought",
    ]


def test_a_draft_is_read_once_for_whether_it_fits_however_many_rounds_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, whole = list[tuple[int, str]](), Ledger.events

    def events(self: Ledger, kind: Kind | None = None, *, after: int = 0) -> Iterator[Event]:
        for event in whole(self, kind, after=after):
            if kind is Kind.DRAFT:
                read.append((event.seq, event.arm))
            yield event

    monkeypatch.setattr(Ledger, "events", events)
    both = {"control": {"arm": "random", "share": 0.5}, "data": with_long_questions(), "student": NARROW}
    rounds = run(experiment("rounds.count=4", "rounds.questions=4", **both), tmp_path)
    assert len(rounds) == 5
    once = Counter(read)
    assert {arm for _, arm in once} == {"main", "control"}
    assert max(once.values()) == 2  # by each arm


def test_a_pool_of_which_nothing_fits_ends_the_run_normally(tmp_path: Path) -> None:
    rounds = run(experiment("rounds.count=9", student={"engine": "fake", "context": 10}), tmp_path)
    assert [turn.picks for turn in rounds] == [(), ()]
    assert rounds[-1].accuracy == 0
    assert status(tmp_path)["state"] == "finished"


def test_a_draft_that_leaves_no_room_in_the_context_is_refused_at_the_start(tmp_path: Path) -> None:
    import tiny_model

    student = {"engine": "transformers", "model": str(tiny_model.save(tmp_path / "tiny"))}
    one = experiment("drafting.max_tokens=256", student=student)
    with pytest.raises(ConfigError, match=r"drafting\.max_tokens: 256 .* context of 256 tokens") as refusal:
        run(one, tmp_path / "run")
    assert refusal.value.exit_code == 2
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=r"drafting\.max_tokens"):
        plan(one)


@pytest.mark.parametrize("warm_start", ["false", "true"])
def test_rows_that_are_too_long_to_learn_from_are_told_round_by_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_start: str
) -> None:
    whole = FakeStudent.fit

    def fit(self: FakeStudent, examples: Sequence[Example], *rest: Any, **named: Any) -> Fit:
        long = sum(one.source != "warmup" for one in examples) // 4
        fitted = whole(self, examples, *rest, **named)
        return replace(fitted, summary={**fitted.summary, "too_long": long})

    monkeypatch.setattr(FakeStudent, "fit", fit)
    notes = Notes()
    one = experiment(f"training.warm_start={warm_start}", teacher={"kind": "fake"})
    rounds = run(one, tmp_path, notes)
    bought = [sum(count for name, count in turn.revisions.items() if name in TRAINABLE) for turn in rounds]
    so_far = [sum(bought[: turn.round + 1]) for turn in rounds]
    assert [turn.examples + turn.too_long for turn in rounds] == [4 + count for count in so_far]
    by_round = [sum(count // 4 for count in bought[: turn.round + 1]) for turn in rounds]
    assert [turn.too_long for turn in rounds] == (by_round if warm_start == "true" else [n // 4 for n in so_far])
    assert rounds[-1].too_long > rounds[0].too_long == 0
    assert [row["too_long"] for row in status(tmp_path)["rounds"]] == [turn.too_long for turn in rounds]
    assert sum("training.max_length (512 tokens)" in note for note in notes.told) == 2
    console = Console(width=200, record=True, file=StringIO())
    console.print(round_table(status(tmp_path)))
    assert f"{rounds[-1].too_long} of {4 + so_far[-1]}" in console.export_text()
    assert run(one, tmp_path) == rounds


def test_a_round_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (turn, *_) = run(experiment("rounds.count=1"), tmp_path)
    earlier = {name: value for name, value in to_json(turn).items() if name != "too_long"}
    assert from_json(Round, earlier) == turn
