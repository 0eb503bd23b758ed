"""The whole loop on fakes: what it buys, what it keeps, when it stops."""

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, history, problems

from elad import world
from elad.errors import DataError, RefusedError, RunFolderError, TeacherError
from elad.experiment import Data
from elad.ledger.events import Kind, Ledger, is_held
from elad.loop import run
from elad.outcomes import RevisionOutcome
from elad.progress import Silent
from elad.records import Message, Problem
from elad.report.status import status
from elad.stages import consulting, scoring
from elad.students.fake import FakeStudent

TRAINABLE = {outcome.value for outcome in RevisionOutcome if outcome.trainable}


def test_the_student_gets_better_and_every_round_is_told(tmp_path: Path) -> None:
    rounds = run(experiment("rounds.count=3", student={"engine": "fake", "skill": 0.5}), tmp_path)
    assert [turn.round for turn in rounds] == [0, 1, 2, 3]
    assert [len(turn.picks) for turn in rounds] == [0, 8, 8, 8]
    assert rounds[-1].accuracy > rounds[0].accuracy
    assert rounds[-1].charge.calls > 0
    for turn in rounds:
        assert set(turn.intervals) == {"accuracy", "accuracy_lenient", "parsed", "steps"}
        assert all(low <= getattr(turn, name) <= high for name, (low, high) in turn.intervals.items())
    assert rounds[-1].examples == 4 + sum(sum(turn.revisions.values()) for turn in rounds)


def test_no_question_is_bought_twice(tmp_path: Path) -> None:
    rounds = run(experiment("rounds.count=4"), tmp_path)
    picked = [pick for turn in rounds for pick in turn.picks]
    assert len(picked) == len(set(picked)) == 30


def test_an_empty_pool_ends_the_run_normally(tmp_path: Path) -> None:
    rounds = run(experiment("rounds.count=9"), tmp_path)
    assert len(rounds[-1].picks) == 6
    assert len(rounds) == 5
    assert (status(tmp_path)["state"], status(tmp_path)["reason"]) == ("finished", "no question of the pool is left")
    run(experiment("rounds.count=4"), tmp_path)
    assert status(tmp_path)["reason"] == "all rounds done"


def test_running_a_finished_run_again_changes_nothing(tmp_path: Path) -> None:
    first = run(experiment(), tmp_path)
    before = history(tmp_path)
    again = run(experiment(), tmp_path)
    assert again == first
    assert history(tmp_path) == before


def test_more_rounds_go_on_from_the_ones_that_are_done(tmp_path: Path) -> None:
    run(experiment("rounds.count=1"), tmp_path / "a")
    run(experiment("rounds.count=2"), tmp_path / "a")
    run(experiment("rounds.count=2"), tmp_path / "b")
    assert history(tmp_path / "a") == history(tmp_path / "b")


def test_another_configuration_is_refused_and_told(tmp_path: Path) -> None:
    run(experiment(), tmp_path)
    with pytest.raises(RunFolderError, match=r"seed: 0 -> 5"):
        run(experiment("seed=5"), tmp_path)


def test_other_data_are_refused(tmp_path: Path) -> None:
    run(experiment(), tmp_path)
    other = Data(pool=problems(30, 9, "p"), heldout=problems(12, 2, "h"), warmup=problems(4, 3, "w"))
    with pytest.raises(RunFolderError, match=r"data\.pool"):
        run(experiment(data=other), tmp_path)


def test_a_second_writer_is_refused_by_name(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True):
        assert is_held(tmp_path)
        with pytest.raises(RunFolderError, match=r"in use by process \d+"):
            run(experiment(), tmp_path)
    assert not is_held(tmp_path)


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ("budget.questions=5", "questions: 5"),
        ("budget.calls=9", "calls: 9"),
        ("budget.seconds=0", "seconds: 0"),
    ],
)
def test_a_cap_ends_the_run_normally_and_holds(tmp_path: Path, budget: str, reason: str) -> None:
    run(experiment(budget), tmp_path)
    told = status(tmp_path)
    assert told["state"] == "finished"
    assert reason in told["reason"]
    assert told["spent"]["calls"] <= 9 or "calls" not in budget
    assert all(turn["questions"] <= 8 for turn in told["rounds"])


@pytest.mark.parametrize("ticks", [6, 40])
def test_a_run_cut_short_by_time_again_and_again_ends_as_if_it_never_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ticks: int
) -> None:
    """Time passes by one whenever somebody looks at it."""
    reviser = {"kind": "first_error", "judge": "direct", "continue": "student"}
    monkeypatch.setattr(consulting, "CHUNK", 2)
    monkeypatch.setattr(scoring, "SCORE_CHUNK", 8)
    run(experiment(reviser=reviser), tmp_path / "whole")
    whole, looks = history(tmp_path / "whole"), count()
    monkeypatch.setattr(world, "_clock", lambda _: lambda: float(next(looks)))
    sessions = 0
    while True:
        told_rounds = run(experiment(f"budget.seconds={next(looks) + ticks}", reviser=reviser), tmp_path / "cut")
        told, done = status(tmp_path / "cut"), history(tmp_path / "cut")
        assert told["state"] == "finished"
        assert done.items() <= whole.items()
        assert len(told_rounds) == len(told["rounds"])
        if told["reason"] == "all rounds done":
            break
        assert "budget reached: seconds" in told["reason"]
        sessions += 1
        assert sessions < 200
    assert done == whole
    assert sessions > 1


def test_a_student_that_cannot_be_saved_ends_the_run_with_a_word_and_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def full(*_: object, **__: object) -> None:
        raise RunFolderError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(FakeStudent, "fit", full)
        with pytest.raises(RunFolderError, match="full"):
            run(experiment(), tmp_path / "a")
    assert status(tmp_path / "a")["reason"] == "RunFolderError: the disk is full"
    run(experiment(), tmp_path / "a")
    run(experiment(), tmp_path / "b")
    assert history(tmp_path / "a") == history(tmp_path / "b")


def test_a_larger_cap_takes_up_what_the_smaller_one_left(tmp_path: Path) -> None:
    run(experiment("budget.calls=6"), tmp_path / "a")
    run(experiment(), tmp_path / "a")
    run(experiment(), tmp_path / "b")
    resumed, whole = history(tmp_path / "a"), history(tmp_path / "b")
    bought = {key: value for key, value in whole.items() if key.startswith(("pick", "reply", "revision"))}
    assert bought.items() <= resumed.items()


def test_the_random_selector_scores_nothing(tmp_path: Path) -> None:
    run(experiment(selector={"kind": "random"}), tmp_path)
    with Ledger(tmp_path, write=False) as ledger:
        assert next(ledger.events(Kind.SCORE), None) is None
        assert sum(1 for _ in ledger.events(Kind.PICK)) == 16


def test_a_student_may_go_on_from_the_repaired_step(tmp_path: Path) -> None:
    reviser = {"kind": "first_error", "judge": "direct", "continue": "student"}
    run(experiment(reviser=reviser), tmp_path)
    with Ledger(tmp_path, write=False) as ledger:
        assert next(ledger.events(Kind.CONTINUATION), None) is not None
        outcomes = {event.payload["outcome"] for event in ledger.events(Kind.REVISION)}
    assert "repaired" in outcomes


def test_warm_start_trains_the_last_student_on_the_new_rows(tmp_path: Path) -> None:
    run(experiment("training.warm_start=true"), tmp_path)
    with Ledger(tmp_path, write=False) as ledger:
        sizes = [event.payload["examples"] for event in ledger.events(Kind.TRAINING)]
    assert len(sizes) == 3
    assert sizes[0] == 4
    assert all(size <= 8 for size in sizes[1:])


def test_a_teacher_that_cannot_do_it_is_refused_before_anything_is_drafted(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"recorded.*serves"):
        run(experiment(teacher={"kind": "recorded"}), tmp_path)
    assert not (tmp_path / "ledger.sqlite").exists()


def test_the_rollout_judge_needs_a_teacher_that_does_not_know_the_answer(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="can rollout"):
        run(experiment(reviser={"kind": "first_error", "judge": "rollout"}), tmp_path)
    assert not (tmp_path / "ledger.sqlite").exists()


def test_pool_and_held_out_may_not_share_a_question(tmp_path: Path) -> None:
    shared = problems(5, 1, "p")
    with pytest.raises(DataError):
        run(experiment(data=Data(pool=shared, heldout=shared)), tmp_path)
    assert not (tmp_path / "ledger.sqlite").exists()


def test_two_problems_of_one_id_are_refused_wherever_they_come_from(tmp_path: Path) -> None:
    twice = (*problems(5, 1, "p"), replace(problems(1, 7, "p")[0], id=problems(5, 1, "p")[2].id))
    with pytest.raises(DataError, match=f"id '{twice[2].id}'"):
        run(experiment(data=Data(pool=twice, heldout=problems(3, 5, "h"))), tmp_path)


def test_a_run_without_a_folder_lies_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(experiment("rounds.count=1", "name=mine"))
    assert (tmp_path / "runs" / "mine" / "ledger.sqlite").exists()


def test_held_out_questions_need_answers(tmp_path: Path) -> None:
    blank = tuple(replace(problem, answer=None) for problem in problems(3, 5, "h"))
    with pytest.raises(DataError, match="no answer"):
        run(experiment(data=Data(pool=problems(5, 1, "p"), heldout=blank)), tmp_path)


@pytest.mark.parametrize("name", ["pool", "heldout", "warmup"])
def test_gold_answers_that_the_task_cannot_read_are_refused(tmp_path: Path, name: str) -> None:
    from dataclasses import replace

    def given(spoilt: int) -> Data:
        sets: dict[str, Any] = {
            "pool": problems(5, 1, "p"),
            "heldout": problems(3, 2, "h"),
            "warmup": problems(2, 3, "w"),
        }
        sets[name] = [replace(one, answer="plenty") if i < spoilt else one for i, one in enumerate(sets[name])]
        return Data(**sets)

    told = rf"data\.{name}: problem '{name[0]}0': the gold answer 'plenty' cannot be read by this task"
    with pytest.raises(DataError, match=rf"{told}$"):
        run(experiment(data=given(1)), tmp_path)
    with pytest.raises(DataError, match=rf"{told}, and 1 more; `elad validate`"):
        run(experiment(data=given(2)), tmp_path)
    with pytest.raises(DataError, match="'p0': a choice task needs 2 to 26 choices"):
        run(experiment(task="choice", data=given(0)), tmp_path)
    assert not (tmp_path / "ledger.sqlite").exists()


@pytest.mark.parametrize("fault", ["empty", "truncated", "refused"])
def test_faults_of_the_teacher_are_outcomes_and_never_trained_on(tmp_path: Path, fault: str) -> None:
    run(experiment(teacher={"kind": "fake", "faults": {fault: 1.0}}), tmp_path)
    with Ledger(tmp_path, write=False) as ledger:
        revisions = [event.payload for event in ledger.events(Kind.REVISION)]
        trained = [event.payload["examples"] for event in ledger.events(Kind.TRAINING)]
    assert len(revisions) == 16
    assert all(revision["after"] is None for revision in revisions)
    assert set(trained) == {4}


def test_a_teacher_that_only_fails_stops_the_run_and_can_be_asked_again(tmp_path: Path) -> None:
    one = experiment(teacher={"kind": "fake", "faults": {"failed": 1.0}})
    with pytest.raises(TeacherError, match="8 requests in a row brought no answer"):
        run(one, tmp_path)
    assert status(tmp_path)["state"] == "failed"
    with Ledger(tmp_path, write=False) as ledger:
        assert next(ledger.events(Kind.REPLY), None) is None
        assert next(ledger.events(Kind.REVISION), None) is None


def test_now_and_then_a_failure_is_recorded_and_final(tmp_path: Path) -> None:
    run(experiment(teacher={"kind": "fake", "faults": {"failed": 0.2}}), tmp_path)
    outcomes = status(tmp_path)["outcomes"]
    assert outcomes["reply"]["failed"] > 0
    assert outcomes["revision"]["failed"] > 0


def test_a_cap_on_money_needs_a_price(tmp_path: Path) -> None:
    unpriced = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "x"}
    with pytest.raises(RefusedError, match="has no price"):
        run(experiment("budget.money=1", teacher=unpriced), tmp_path)
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_cap_on_money_holds(tmp_path: Path) -> None:
    paid = {"kind": "fake", "price": {"input": 1000.0, "output": 1000.0}}
    run(experiment("budget.money=2.5", teacher=paid), tmp_path)
    told = status(tmp_path)
    assert 0 < told["spent"]["money"] <= 2.5
    assert told["spent"]["currency"] == "USD"
    assert "money: 2.5 USD" in told["reason"]


def test_another_prompt_drafts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elad.tasks.numeric import Numeric

    run(experiment("rounds.count=1"), tmp_path)
    asked = Numeric.messages

    def reworded(self: Numeric, problem: Problem) -> tuple[Message, ...]:
        *rest, last = asked(self, problem)
        return (*rest, replace(last, content=last.content + "\nThink."))

    with Ledger(tmp_path, write=False) as ledger:
        before = sum(1 for _ in ledger.events(Kind.DRAFT))
    monkeypatch.setattr(Numeric, "messages", reworded)
    run(experiment("rounds.count=1"), tmp_path)
    with Ledger(tmp_path, write=False) as ledger:
        assert sum(1 for _ in ledger.events(Kind.DRAFT)) == 2 * before


def test_a_cap_on_questions_is_warned_of_once(tmp_path: Path) -> None:
    class Notes(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    for _ in range(2):
        run(experiment("budget.questions=10"), tmp_path, Notes())
    assert [one for one in said if "questions" in one] == [
        "budget: with this round 80% of questions used",
        "budget: with this round 100% of questions used",
    ]
