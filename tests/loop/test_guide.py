"""A guide in the loop: it learns first, explains what was bought, and is done with once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from guide_kit import GUIDE, MENTOR, MENTOR_SEED, Notes, events, guided, watched
from loop_kit import experiment, history, problems
from test_replay import finished, rows
from test_resume import KILLED_AT, KILLED_IN_FIT, appends_of, killed

from elad.experiment import Data
from elad.ledger.events import CONTROL, MAIN, Kind, Ledger
from elad.loop import run
from elad.progress import Silent
from elad.protocols import Fit
from elad.records import Example, Grade, Problem, from_json
from elad.replay import replay
from elad.report.status import status
from elad.students.fake import FakeStudent
from elad.sweep import Cell, sweep

WITH_GUIDE = "from guide_kit import guided as experiment"
UNTAUGHT = {"student": MENTOR, "samples": 3}
POOL = problems(30, 1, "p")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(guided(), folder)
    return folder


def by_guide(examples: Sequence[Example]) -> list[Example]:
    return [one for one in examples if one.source == "guide"]


def test_in_each_round_the_mentor_learns_once_from_all_that_was_bought_and_then_the_student(tmp_path: Path) -> None:
    with watched() as taught:
        run(guided(), tmp_path)
    assert [who for who, _ in taught] == ["student", "mentor", "student", "mentor", "student"]
    (_, warmup), *rounds = taught
    assert {one.source for one in warmup} == {"warmup"}
    for (_, mentors), (_, students) in zip(rounds[::2], rounds[1::2], strict=True):
        assert by_guide(mentors) == []
        assert students[: len(mentors)] == mentors
        assert by_guide(students) == students[len(mentors) :] != []
    assert [event.round for event in events(tmp_path, Kind.TRAINING)] == [0, 1, 1, 2, 2]


def test_what_it_explains_right_is_learnt_from_once(tmp_path: Path) -> None:
    with watched() as taught:
        run(guided(guide=UNTAUGHT), tmp_path)
    told, right, bought = list[Any](), set[tuple[str, str]](), set[tuple[str, str]]()
    for number, (_, students) in enumerate(taught):
        own = by_guide(students)
        told = [event.payload for event in events(tmp_path, Kind.GUIDED) if event.round <= number]
        right = {
            (one["chain"]["problem_id"], one["chain"]["text"]) for one in told if from_json(Grade, one["grade"]).strict
        }
        bought = {(one.problem_id, one.target) for one in students if one.source != "guide"}
        assert len(set(own)) == len(own)
        assert {(one.problem_id, one.target) for one in own} == right - bought
        assert all(one.rejected is None and not one.marks for one in own)
    assert any(not event.payload["grade"]["strict"] for event in events(tmp_path, Kind.GUIDED))
    assert right & bought
    assert right - bought
    assert len(right) < sum(one["grade"]["strict"] for one in told)


def test_each_question_that_was_bought_is_explained_whatever_came_of_it(tmp_path: Path) -> None:
    run(guided(guide=UNTAUGHT), tmp_path)
    revised = [event.payload for event in events(tmp_path, Kind.REVISION)]
    explained = [event.payload["chain"]["problem_id"] for event in events(tmp_path, Kind.GUIDED)]
    assert {one["outcome"] for one in revised} > {"repaired"}
    assert sorted(explained) == sorted(3 * [one["problem_id"] for one in revised])


def unlabelled(one: Problem) -> Problem:
    """Nobody knows the answer but a teacher who said so once."""
    return replace(one, answer=None, metadata={"teacher_rationales": [{"text": one.rationale, "answer": one.answer}]})


@pytest.mark.parametrize("labelled", [0, 15])
def test_questions_without_a_gold_answer_are_not_explained(tmp_path: Path, labelled: int) -> None:
    """Nobody can tell whether such an explanation ends right; they are learnt from as they were bought."""
    pool = [replace(unlabelled(one), answer=one.answer if i < labelled else None) for i, one in enumerate(POOL)]
    data = Data(pool=tuple(pool), heldout=problems(4, 2, "h"), warmup=problems(4, 3, "w"))
    sections = {"teacher": "recorded", "reviser": "rewrite", "selector": "random", "guide": UNTAUGHT}
    notes = Notes()
    with watched() as taught:
        rounds = run(guided("rounds.count=1", data=data, **sections), tmp_path, notes)
    known = {one.id for one in pool if one.answer} & set(rounds[1].picks)
    assert len(known) < len(rounds[1].picks) == rounds[1].revisions["rewritten"]
    assert {event.payload["chain"]["problem_id"] for event in events(tmp_path, Kind.GUIDED)} == known
    assert {one.problem_id for one in by_guide(taught[-1][1])} <= known
    nothing = "round 1: the guide has nothing to explain: no question that was bought has a gold answer"
    assert (nothing in notes.told) == (not known) == (not labelled)


@pytest.mark.parametrize("narrow", [{"context": 10}, {"skill": 0.0}], ids=["nothing fits", "all wrong"])
def test_a_guide_that_explains_nothing_right_is_told_of_and_the_student_learns_without_it(
    tmp_path: Path, narrow: dict[str, Any]
) -> None:
    notes = Notes()
    run(guided(guide=UNTAUGHT | {"student": MENTOR | narrow}), tmp_path / "with", notes)
    run(guided(guide=None), tmp_path / "without")
    assert history(tmp_path / "with").items() >= history(tmp_path / "without").items()
    assert sum("0 of" in note and "explanations of the guide end right" in note for note in notes.told) == 2


def test_the_warm_up_has_no_guide_and_is_shared_with_runs_without_one(whole: Path, tmp_path: Path) -> None:
    run(guided(guide=None), tmp_path)
    first = [event.key for event in events(whole, Kind.TRAINING) if event.round == 0]
    assert first == [event.key for event in events(tmp_path, Kind.TRAINING) if event.round == 0] != []
    assert all(event.round for event in events(whole, Kind.GUIDED))


def test_a_student_that_goes_on_learns_from_the_round_alone_and_its_mentor_from_all(tmp_path: Path) -> None:
    with watched() as taught:
        rounds = run(guided("training.warm_start=true"), tmp_path)
    (_, warmup), (_, mentor), _, (_, mentor_2), (_, student_2) = taught
    picks = set(rounds[2].picks)
    assert {one.problem_id for one in student_2} <= picks
    assert mentor_2[: len(mentor)] == mentor
    assert len(mentor_2) > len(mentor) > len(warmup)
    assert {
        event.payload["chain"]["problem_id"] for event in events(tmp_path, Kind.GUIDED) if event.round == 2
    } <= picks
    learnt = [len(examples) for who, examples in taught if who == "student"]
    assert [turn.examples for turn in rounds] == [sum(learnt[: i + 1]) for i in range(3)]


@pytest.mark.parametrize("moment", range(8))
def test_killed_anywhere_the_ledger_is_the_same(whole: Path, tmp_path: Path, moment: int) -> None:
    total = appends_of(whole)
    at, when = 1 + moment * (total - 2) // 7, ("before", "after")[moment % 2]
    assert killed(tmp_path, at, when, KILLED_AT.replace("from loop_kit import experiment", WITH_GUIDE))
    run(guided(), tmp_path)
    assert history(tmp_path) == history(whole)


def test_killed_while_it_explains(whole: Path, tmp_path: Path) -> None:
    """Right before and right after the explanations of each round are written down."""
    with Ledger(whole, write=False) as ledger:
        appended = list(dict.fromkeys(e.at for e in ledger.events() if e.kind is not Kind.STAGE))
    for number in (1, 2):
        (at,) = {event.at for event in events(whole, Kind.GUIDED) if event.round == number}
        for when in ("before", "after"):
            folder = tmp_path / f"{number}-{when}"
            script = KILLED_AT.replace("from loop_kit import experiment", WITH_GUIDE)
            assert killed(folder, appended.index(at) + 1, when, script)
            there = [event.round for event in events(folder, Kind.GUIDED)]
            assert (number in there) == (when == "after")
            run(guided(), folder)
            assert history(folder) == history(whole)


@pytest.mark.parametrize("fit", [2, 3, 4, 5], ids=["mentor 1", "student 1", "mentor 2", "student 2"])
@pytest.mark.parametrize("when", ["in training", "in a file", "before it is told"])
def test_killed_while_mentor_or_student_is_trained_or_saved(whole: Path, tmp_path: Path, fit: int, when: str) -> None:
    assert killed(tmp_path, fit, when, KILLED_IN_FIT.replace("from loop_kit import experiment", WITH_GUIDE))
    assert len(events(tmp_path, Kind.TRAINING)) == fit - 1
    with watched() as taught:
        run(guided(), tmp_path)
    assert [who for who, _ in taught] == ["student", "mentor", "student", "mentor", "student"][fit - 1 :]
    assert history(tmp_path) == history(whole)


def test_a_finished_run_opens_no_guide_again_to_train_or_explain(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = history(whole)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("everything is in the ledger")

    monkeypatch.setattr(FakeStudent, "generate", never)
    monkeypatch.setattr(FakeStudent, "fit", never)
    run(guided(), whole)
    assert history(whole) == before


def test_arms_of_a_sweep_that_buy_alike_share_one_mentor(tmp_path: Path) -> None:
    """They differ in how their students are trained, which scripted ones do not mind: all else is the same."""
    arms = {name: guided(f"training.epochs={epochs}", f"name={name}") for name, epochs in (("a", 1), ("b", 2))}
    cells = [Cell(arm=name, seed=0, experiment=arm, folder=tmp_path / name) for name, arm in arms.items()]
    with watched() as taught:
        ended = list(sweep(cells, lambda _, __: Silent()))
    assert [one.error for one in ended] == [None, None]
    assert [who for who, _ in taught].count("mentor") == 2
    assert [who for who, _ in taught].count("student") == 6
    guided_by = [sorted(event.key for event in events(cell.folder, Kind.GUIDED)) for cell in cells]
    assert guided_by[0] == guided_by[1] != []
    before = history(cells[1].folder)
    (tmp_path / "a").rename(tmp_path / "gone")
    run(arms["b"], cells[1].folder)
    assert history(cells[1].folder) == before


def test_a_control_has_a_mentor_of_its_own(tmp_path: Path) -> None:
    run(guided("control.share=0.25", teacher="reference"), tmp_path)
    for arm in (MAIN, CONTROL):
        bought = {event.payload["problem_id"] for event in events(tmp_path, Kind.REVISION, arm)}
        assert {event.payload["chain"]["problem_id"] for event in events(tmp_path, Kind.GUIDED, arm)} == bought
        assert [event.round for event in events(tmp_path, Kind.TRAINING, arm)] == [0, 1, 1, 2, 2]


def test_a_replay_takes_mentor_explanations_and_student_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = finished(tmp_path, guide=GUIDE)

    def never(*_: object, **__: object) -> Fit:
        raise AssertionError("trained already")

    monkeypatch.setattr(FakeStudent, "fit", never)
    again = replay(source, tmp_path / "again")
    assert again.unknown == ()
    assert history(tmp_path / "again") == history(source)
    assert rows(tmp_path / "again", "messages") == rows(source, "messages")


def test_a_replay_with_another_guide_explains_anew(tmp_path: Path) -> None:
    source = finished(tmp_path, guide=GUIDE)
    with watched() as taught:
        replay(source, tmp_path / "again", ["guide.student.skill=1.0"])
    assert [who for who, _ in taught].count("mentor") == 2
    explained = [{event.key for event in events(folder, Kind.GUIDED)} for folder in (source, tmp_path / "again")]
    assert len(explained[0]) == len(explained[1])
    assert explained[0].isdisjoint(explained[1])


def test_status_tells_rows_and_explanations(whole: Path) -> None:
    told = status(whole)
    grades = [event.payload["grade"]["strict"] for event in events(whole, Kind.GUIDED)]
    assert told["outcomes"]["guided"] == {"right": sum(grades), "wrong": len(grades) - sum(grades)}
    learnt = [event.payload["examples"] for event in events(whole, Kind.TRAINING)]
    assert [row["examples"] for row in told["rounds"]] == [learnt[0], learnt[2], learnt[4]]
    assert all(row["too_long"] == 0 for row in told["rounds"])
    assert "guided" not in status_without_guide(whole)


def status_without_guide(whole: Path) -> dict[str, Any]:
    folder = whole.parent / "plain"
    run(experiment("rounds.count=1"), folder)
    return status(folder)["outcomes"]


def test_rows_that_are_too_long_are_told_of_for_mentor_and_student_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = FakeStudent.fit

    def fitting(self: FakeStudent, examples: Sequence[Example], *given: Any, **named: Any) -> Fit:
        made = fit(self, examples, *given, **named)
        return replace(made, summary={**made.summary, "too_long": 3 if self.settings.seed == MENTOR_SEED else 1})

    monkeypatch.setattr(FakeStudent, "fit", fitting)
    notes = Notes()
    rounds = run(guided("rounds.count=1"), tmp_path, notes)
    _, mentor, student = (event.payload["examples"] for event in events(tmp_path, Kind.TRAINING))
    assert (rounds[1].examples, rounds[1].too_long) == (student - 1, 1)
    told = [note for note in notes.told if "max_length" in note and "round 1" in note]
    of_mentor, of_student = f"{mentor} rows are over guide.training.", f"{student} rows are over training."
    assert told == [
        f"round 1: 3 of {of_mentor}max_length (512 tokens): the guide learns nothing from them",
        f"round 1: 1 of {of_student}max_length (512 tokens): nothing is learnt from them",
    ]
