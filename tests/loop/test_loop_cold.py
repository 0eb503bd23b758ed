"""A student that cannot yet say what it concludes: its texts are not ranked by how long they are, and it is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, history

from elad.asks import Generation, Prompt
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.progress import Silent
from elad.protocols import Student, Task
from elad.records import Chain, Problem, Sampling, StepScores, derive_seed
from elad.students.fake import FakeStudent

POOL = 30
MUTTERED = ("I cannot tell.", "Well.\nLet us see.\nIt is hard.\nWho knows?\nNobody does.")
"""What a draft without an answer says: one step, or five."""


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes a share of all drafts end without an answer, half of them at once, and more surprising than any other."""
    generate = FakeStudent.generate

    def at(share: float) -> None:
        def muttering(
            self: FakeStudent, prompts: Sequence[Prompt], sampling: Sampling, until: Any = None
        ) -> list[Generation]:
            made = generate(self, prompts, sampling, until)
            if sampling.temperature:
                return made
            lots = [derive_seed(prompt.messages[-1].content) / 2**63 for prompt in prompts]
            return [
                replace(one, text=MUTTERED[lot < share / 2], surprise=9 + lot)
                if lot < share and not prompt.prefix
                else one
                for one, prompt, lot in zip(made, prompts, lots, strict=True)
            ]

        monkeypatch.setattr(FakeStudent, "generate", muttering)

    return at


def of_kind(folder: Path, kind: Kind, number: int = 1) -> list[Any]:
    with Ledger(folder, write=False) as ledger:
        return [event.payload for event in ledger.events(kind) if event.round == number]


def unread(folder: Path) -> set[str]:
    return {draft["problem_id"] for draft in of_kind(folder, Kind.DRAFT) if draft["answer"] is None}


def test_where_nothing_can_be_read_the_picks_are_by_lot_and_it_is_told(tmp_path: Path, mute: Any) -> None:
    mute(1.0)
    notes = Notes()
    run(experiment("rounds.count=1"), tmp_path, notes)
    assert of_kind(tmp_path, Kind.COLD) == [{"drafts": POOL, "unread": POOL}]
    assert [said for said in notes.said if "can be read" in said] == [
        f"round 1: {POOL} of {POOL} drafts have no answer that can be read; they are picked last, by lot; "
        "rows in data.warmup would teach the student how to conclude"
    ]
    # What the ledger keeps is what was measured: one step scores more than five.
    assert {round(pick["aggregate"], 3) for pick in of_kind(tmp_path, Kind.PICK)} == {1.0, 0.6}


@pytest.mark.parametrize("selector", ["top", {"kind": "part", "name": "inter"}, "cost_aware", "stratified"])
def test_uncertain_reasoning_comes_before_what_cannot_be_read(tmp_path: Path, mute: Any, selector: Any) -> None:
    mute(0.6)
    run(experiment("rounds.count=1", "rounds.questions=2", selector=selector), tmp_path)
    silent = unread(tmp_path)
    assert of_kind(tmp_path, Kind.COLD) == [{"drafts": POOL, "unread": len(silent)}]
    assert len(silent) > POOL / 2
    picks = of_kind(tmp_path, Kind.PICK)
    assert len(picks) == 2
    assert not silent & {pick["problem_id"] for pick in picks}


def test_a_student_that_mostly_concludes_is_taken_at_its_scores(tmp_path: Path, mute: Any) -> None:
    mute(0.2)
    run(experiment("rounds.count=1"), tmp_path)
    assert unread(tmp_path)
    assert of_kind(tmp_path, Kind.COLD) == []
    scores = sorted((score["aggregate"] for score in of_kind(tmp_path, Kind.SCORE)), reverse=True)
    assert [pick["aggregate"] for pick in of_kind(tmp_path, Kind.PICK)] == scores[:8]


@pytest.mark.parametrize("share", [0.6, 0.9])
@pytest.mark.parametrize("count", [3, 12])
def test_samples_that_are_spared_change_no_pick(tmp_path: Path, mute: Any, share: float, count: int) -> None:
    mute(share)
    wanted = ("rounds.count=1", f"rounds.questions={count}", "uncertainty.samples=4")
    run(experiment(*wanted), tmp_path / "all")
    run(experiment(*wanted, "adaptive.few=2"), tmp_path / "few")
    told, all_ = ([pick["problem_id"] for pick in of_kind(tmp_path / name, Kind.PICK)] for name in ("few", "all"))
    assert of_kind(tmp_path / "few", Kind.COLD)
    assert told == all_


@pytest.mark.parametrize("share", [0.6, 0.9])
def test_a_prefilter_lets_through_what_can_be_read_first(tmp_path: Path, mute: Any, share: float) -> None:
    mute(share)
    run(experiment("rounds.count=1", "rounds.questions=4", "prefilter.keep=2"), tmp_path)
    silent = unread(tmp_path)
    assert of_kind(tmp_path, Kind.COLD) == [{"drafts": POOL, "unread": len(silent)}]
    assert len(of_kind(tmp_path, Kind.SCORE)) == 8 < len(silent)
    picks = {pick["problem_id"] for pick in of_kind(tmp_path, Kind.PICK)}
    assert len(picks & silent) == max(0, 4 - (POOL - len(silent)))


def test_a_prefilter_draws_what_cannot_be_read_by_lot(tmp_path: Path, mute: Any) -> None:
    mute(1.0)
    run(experiment("rounds.count=1", "prefilter.keep=1"), tmp_path)
    picks = {pick["problem_id"]: round(pick["aggregate"], 3) for pick in of_kind(tmp_path, Kind.PICK)}
    surprise = {draft["problem_id"]: draft["surprise"] for draft in of_kind(tmp_path, Kind.DRAFT)}
    assert {*picks.values()} == {1.0, 0.6}  # the one is said by the more surprising half
    (told,) = of_kind(tmp_path, Kind.PREFILTER)
    assert told == {"drafts": POOL, "kept": 8, "least_surprise": min(surprise[pick] for pick in picks)}


@dataclass(frozen=True, kw_only=True)
class OfQuestions:
    """A score that does not look at what was drafted, unless it says so."""

    of_drafts: bool = False

    def __call__(
        self, drafts: Sequence[tuple[Problem, Chain]], student: Student, task: Task, seed: int
    ) -> list[StepScores]:
        lots = [derive_seed(problem.question) / 2**63 for problem, _ in drafts]
        return [StepScores(parts={}, steps=(), aggregate=lot, confidence=0.0) for lot in lots]


@pytest.mark.parametrize("of_drafts", [False, True])
def test_a_score_of_something_else_than_the_drafts_stays_what_it_is(tmp_path: Path, mute: Any, of_drafts: bool) -> None:
    mute(0.6)
    notes = Notes()
    run(experiment("rounds.count=1", uncertainty=OfQuestions(of_drafts=of_drafts)), tmp_path, notes)
    assert any("can be read; they are picked last" in said for said in notes.said) == of_drafts
    scores = sorted((score["aggregate"] for score in of_kind(tmp_path, Kind.SCORE)), reverse=True)
    picks = of_kind(tmp_path, Kind.PICK)
    assert ([pick["aggregate"] for pick in picks] == scores[:8]) != of_drafts
    assert bool(unread(tmp_path) & {pick["problem_id"] for pick in picks}) != of_drafts


def test_a_resumed_run_is_cold_once(tmp_path: Path, mute: Any) -> None:
    mute(0.8)
    run(experiment("rounds.count=1"), tmp_path / "a")
    run(experiment(), tmp_path / "a")
    run(experiment(), tmp_path / "b")
    assert history(tmp_path / "a") == history(tmp_path / "b")
    assert len(of_kind(tmp_path / "a", Kind.COLD)) == 1


def test_a_selector_without_scores_is_told_and_picks_as_ever(tmp_path: Path, mute: Any) -> None:
    mute(0.8)
    notes = Notes()
    run(experiment("rounds.count=1", "selector.kind=random"), tmp_path, notes)
    assert any("can be read; rows in data.warmup" in said for said in notes.said)
