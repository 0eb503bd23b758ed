"""The control arm: a random arm within the run, on its share of the questions and of every cap."""

import sqlite3
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_kit import experiment, history, problems
from test_resume import KILLED_AT, killed

from elad import world
from elad.errors import ConfigError, RunFolderError
from elad.experiment import Data, Experiment
from elad.ledger.budget import Budget, share_of
from elad.ledger.events import CONTROL, FILE, MAIN, Event, Kind, Ledger
from elad.ledger.reconcile import reconcile
from elad.loop import run
from elad.plan.plan import plan
from elad.progress import Silent
from elad.records import Charge
from elad.replay import replay
from elad.report.export import export
from elad.report.status import control_tables, status

PRICE = {"input": 1.0, "output": 3.0}
PRICED = {"kind": "fake", "price": PRICE}
DATA = Data(pool=problems(40, 1, "p"), heldout=problems(20, 2, "h"), warmup=problems(4, 3, "w"))


def controlled(*overrides: str, **sections: Any) -> Experiment:
    """Three rounds of six questions for the main arm and two for the control."""
    given: dict[str, Any] = {"data": DATA, "teacher": PRICED, "rounds": {"count": 3, "questions": 8}}
    return experiment("control.share=0.25", *overrides, **(given | sections))


def events(folder: Path, kind: Kind, arm: str | None = None) -> list[Event]:
    with Ledger(folder, write=False) as ledger:
        return list(ledger.of(arm).events(kind))


def spent(folder: Path, arm: str | None = None) -> Charge:
    with Ledger(folder, write=False) as ledger:
        return ledger.of(arm).spent()


def picked(folder: Path, arm: str) -> dict[int, list[str]]:
    rounds: dict[int, list[str]] = {}
    for event in events(folder, Kind.PICK, arm):
        rounds.setdefault(event.round, []).append(event.payload["problem_id"])
    return rounds


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done")
    run(controlled(), folder)
    return folder


def test_each_arm_picks_learns_and_is_measured_on_its_own(done: Path) -> None:
    for arm, questions in ((MAIN, 6), (CONTROL, 2)):
        rounds = events(done, Kind.ROUND, arm)
        assert [event.round for event in rounds] == [0, 1, 2, 3]
        assert [len(event.payload["picks"]) for event in rounds] == [0, questions, questions, questions]
        assert [event.payload["examples"] for event in rounds] == [4, *(4 + n * questions for n in (1, 2, 3))]
        assert {event.payload["problem_id"] for event in events(done, Kind.REVISION, arm)} == {
            key for keys in picked(done, arm).values() for key in keys
        }
    main, control = ([e.payload["student"] for e in events(done, Kind.ROUND, arm)] for arm in (MAIN, CONTROL))
    assert main[0] == control[0]
    assert set(main[1:]).isdisjoint(control[1:])


def test_the_control_scores_nothing_and_drafts_what_it_picks_alone(done: Path) -> None:
    assert events(done, Kind.SCORE, CONTROL) == []
    drafted = [(event.round, event.payload["problem_id"]) for event in events(done, Kind.DRAFT, CONTROL)]
    bought = [(number, key) for number, keys in picked(done, CONTROL).items() for key in keys]
    assert sorted(drafted) == sorted(bought)


def test_what_the_main_arm_does_does_not_hang_on_the_control(done: Path, tmp_path: Path) -> None:
    """It does what it would do alone with as many questions: the control is beside it, and takes nothing from it."""
    alone = controlled("control.share=0", "rounds.questions=6")
    run(alone, tmp_path / "alone")
    assert history(tmp_path / "alone") == history(done, MAIN)
    other = controlled(selector={"kind": "random"}, uncertainty={"kind": "entropy"})
    run(other, tmp_path / "other")
    assert picked(tmp_path / "other", CONTROL) == picked(done, CONTROL)


def test_without_a_share_there_is_no_control(tmp_path: Path) -> None:
    run(experiment(), tmp_path / "none")
    run(experiment("control.arm=random", "control.share=0"), tmp_path / "zero")
    assert history(tmp_path / "none") == history(tmp_path / "zero")
    assert {event.arm for event in events(tmp_path / "none", Kind.ROUND)} == {MAIN}
    assert status(tmp_path / "none")["control"] is None
    assert not any(key.startswith("control") for key in experiment().identity())
    with pytest.raises(RunFolderError, match=r"control\.share: None -> 0\.25"):
        run(experiment("control.share=0.25"), tmp_path / "none")


@pytest.mark.parametrize(("share", "questions"), [(0.2, 4), (0.9999999999, 3), (0.5, 1)])
def test_a_share_that_leaves_an_arm_without_questions_is_refused(share: float, questions: int) -> None:
    with pytest.raises(ConfigError, match=r"control\.share: .* leaves an arm without any"):
        experiment(f"control.share={share}", rounds={"count": 1, "questions": questions})
    for bad in (-0.1, 1.0, "much"):
        with pytest.raises(ConfigError, match=r"control\.share"):
            experiment(f"control.share={bad}")
    with pytest.raises(ConfigError, match=r"control\.arm"):
        experiment("control.arm=best")


CAPS = st.none() | st.integers(0, 10_000)


@given(CAPS, CAPS, CAPS, st.none() | st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_both_parts_of_a_budget_are_the_whole(
    questions: int | None, calls: int | None, tokens: int | None, money: float | None, share: float
) -> None:
    whole = Budget(questions=questions, calls=calls, tokens=tokens, money=money, seconds=5.0)
    main, control = whole.split(share)
    for name in ("questions", "calls", "tokens"):
        cap = getattr(whole, name)
        if cap is None:
            assert (getattr(main, name), getattr(control, name)) == (None, None)
        else:
            assert getattr(main, name) + getattr(control, name) == cap
            assert getattr(control, name) <= cap * share + 1e-9
    if money is not None and main.money is not None and control.money is not None:
        assert main.money + control.money == pytest.approx(money)
    assert (main.seconds, control.seconds) == (5.0, 5.0)


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_a_share_in_hundredths_is_exact(n: int, hundredths: int) -> None:
    assert share_of(n, hundredths / 100) == n * hundredths // 100


@pytest.mark.parametrize("name", ["money", "calls", "tokens", "tokens_in", "tokens_out"])
@pytest.mark.parametrize("portion", [0.1, 0.5])
def test_no_arm_takes_the_share_of_the_other(done: Path, tmp_path: Path, name: str, portion: float) -> None:
    def amount(charge: Charge) -> float:
        return charge.tokens_in + charge.tokens_out if name == "tokens" else getattr(charge, name)

    cap = portion * amount(spent(done))
    capped = controlled(budget={name: cap if name == "money" else int(cap)})
    run(capped, tmp_path)
    main, control = capped.budget.split(0.25)
    assert amount(spent(tmp_path, MAIN)) <= getattr(main, name) + 1e-12
    assert amount(spent(tmp_path, CONTROL)) <= getattr(control, name) + 1e-12
    assert amount(spent(tmp_path)) <= cap + 1e-9
    assert amount(spent(tmp_path)) == pytest.approx(amount(spent(tmp_path, MAIN) + spent(tmp_path, CONTROL)))
    with Ledger(tmp_path, write=False) as ledger:
        assert reconcile(ledger).problems == ()
    assert f"budget reached: {name}" in status(tmp_path)["reason"]


def test_an_arm_that_is_done_leaves_the_other_its_rounds(tmp_path: Path) -> None:
    """A share of 0.3 of five questions is one: the main arm has four of them, and four a round."""
    run(controlled("control.share=0.3", "budget.questions=5", rounds={"count": 3, "questions": 5}), tmp_path)
    assert {number: len(keys) for number, keys in picked(tmp_path, MAIN).items()} == {1: 4}
    assert {number: len(keys) for number, keys in picked(tmp_path, CONTROL).items()} == {1: 1}
    assert status(tmp_path)["reason"] == "main: budget reached: questions: 4; control: budget reached: questions: 1"


def test_the_cap_on_seconds_ends_both_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(controlled(), tmp_path / "whole")
    whole, looks = history(tmp_path / "whole"), count()
    monkeypatch.setattr(world, "_clock", lambda _: lambda: float(next(looks)))
    reasons: list[str] = []
    while not reasons or reasons[-1] != "all rounds done":
        run(controlled(f"budget.seconds={next(looks) + 25}"), tmp_path / "cut")
        assert history(tmp_path / "cut").items() <= whole.items()
        assert status(tmp_path / "cut")["state"] == "finished"
        reasons.append(status(tmp_path / "cut")["reason"])
        assert len(reasons) < 200
    assert history(tmp_path / "cut") == whole
    assert all(reason.startswith("budget reached: seconds") for reason in reasons[:-1])
    assert len(reasons) > 2


CONTROLLED = KILLED_AT.replace("run(experiment()", "run(controlled()").replace(
    "from loop_kit import experiment", "from test_control import controlled"
)


def test_killed_again_and_again_it_ends_as_if_it_never_was(done: Path, tmp_path: Path) -> None:
    kills = 0
    for at in count(3):
        when = "before" if at % 2 else "after"
        if not killed(tmp_path, at, when, CONTROLLED):
            break
        kills += 1
    assert kills > 3
    assert history(tmp_path, None) == history(done, None)
    with Ledger(tmp_path, write=False) as ledger:
        books = reconcile(ledger)
    assert (books.problems, books.open) == ((), ())


def test_what_both_arms_ask_alike_is_paid_once_and_counts_for_both(tmp_path: Path) -> None:
    """With a fresh explanation, what is asked of a question does not hang on the student that drafted it."""
    run(controlled(reviser={"kind": "rewrite"}, rounds={"count": 3, "questions": 16}), tmp_path)
    used = {arm: {name for e in events(tmp_path, Kind.REVISION, arm) for name in e.payload["requests"]}
            for arm in (MAIN, CONTROL)}  # fmt: skip
    shared = used[MAIN] & used[CONTROL]
    replies = events(tmp_path, Kind.REPLY)
    assert shared
    assert len({event.payload["request"] for event in replies}) == len(replies) == len(used[MAIN] | used[CONTROL])
    assert spent(tmp_path).calls == spent(tmp_path, MAIN).calls + spent(tmp_path, CONTROL).calls == len(replies)
    told = status(tmp_path)
    assert told["control"]["shared"] == len(shared)
    assert told["control"]["sentences"][0].startswith(f"{len(shared)} replies were of use to both arms")
    arms = {row["name"]: row for row in told["control"]["comparison"]["arms"]}
    for name, arm in (("fake", MAIN), ("fake control", CONTROL)):
        full = sum(e.payload["charge"]["tokens_out"] for e in replies if e.payload["request"] in used[arm])
        assert arms[name]["tokens_out"] == full
    assert arms["fake"]["tokens_out"] + arms["fake control"]["tokens_out"] > spent(tmp_path).tokens_out
    with Ledger(tmp_path, write=False) as ledger:
        assert reconcile(ledger).problems == ()
    rows = export(tmp_path, "messages", tmp_path / "rows.jsonl")
    assert rows < len(events(tmp_path, Kind.REVISION))


def test_a_spending_above_the_share_is_named(tmp_path: Path) -> None:
    run(controlled("budget.calls=1000"), tmp_path)
    with sqlite3.connect(tmp_path / FILE) as db:
        more = "json_set(payload, '$.charge.calls', 300)"
        db.execute(f"UPDATE events SET payload = {more} WHERE kind = 'reply' AND arm = 'control' AND seq = (SELECT"
                   " min(seq) FROM events WHERE kind = 'reply' AND arm = 'control')")  # fmt: skip
    db.close()
    with Ledger(tmp_path, write=False) as ledger:
        assert any(one.startswith("control: budget.calls") for one in reconcile(ledger).problems)
        assert not any(one.startswith("budget.calls") for one in reconcile(ledger).problems)


def test_status_shows_both_arms_and_what_they_say(done: Path, tmp_path: Path) -> None:
    told = status(done)
    assert [row["questions"] for row in told["rounds"]] == [0, 6, 12, 18]
    assert [row["questions"] for row in told["control"]["rounds"]] == [0, 2, 4, 6]
    money = sum(row["money"] for row in (*told["rounds"], *told["control"]["rounds"]))
    assert money == pytest.approx(told["spent"]["money"])
    table, *words = control_tables(told)
    assert not isinstance(table, str)
    assert table.row_count == 4
    said = " ".join(map(str, words))
    assert "fake control" in said
    assert "not enough seeds" in said
    assert "the curves overlap up to there" in said
    assert "straight line" not in said
    run(controlled("rounds.count=1"), tmp_path)
    words = status(tmp_path)["control"]["sentences"]
    assert any("within its first round, where its curve is a straight line" in one for one in words)


def test_a_controls_question_that_does_not_fit_is_never_bought(tmp_path: Path) -> None:
    long = tuple(
        replace(one, question="pens " * 400 + one.question) if i % 2 else one for i, one in enumerate(DATA.pool)
        if not isinstance(one, str)
    )  # fmt: skip
    data = Data(pool=long, heldout=DATA.heldout, warmup=DATA.warmup)
    run(controlled(data=data, student={"engine": "fake", "context": 400}), tmp_path)
    keys = [int(key[1:]) for keys in picked(tmp_path, CONTROL).values() for key in keys]
    assert len(keys) == 6
    assert all(key % 2 == 0 for key in keys)


def test_the_control_says_who_it_is(tmp_path: Path) -> None:
    class Notes(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    run(controlled("budget.questions=8"), tmp_path, Notes())
    assert "control: budget: with this round 100% of questions used" in said
    assert "budget: with this round 100% of questions used" in said


def test_a_plan_counts_both_arms(done: Path, tmp_path: Path) -> None:
    assert plan(controlled()).wanted.questions == plan(controlled("control.share=0")).wanted.questions == 24
    capped = plan(controlled("budget.questions=10"))
    assert (capped.wanted.questions, capped.buys, capped.fits) == (24, 10, False)
    left = plan(controlled("rounds.count=5"), folder=done)
    assert (left.bought, left.wanted.questions, left.fits) == (24, 16, True)
    money = plan(controlled()).wanted.money
    assert money.p10 <= spent(done).money <= money.p90


@pytest.mark.parametrize("budget", [{}, {"calls": 12}])
def test_a_replay_comes_out_alike(tmp_path: Path, budget: dict[str, int]) -> None:
    from test_replay import finished

    source = finished(tmp_path, budget=budget, control={"share": 0.25}, rounds={"count": 3, "questions": 8})
    again = replay(source, tmp_path / "again")
    assert again.unknown == ()
    for arm in (MAIN, CONTROL):
        assert picked(tmp_path / "again", arm) == picked(source, arm)
        assert [e.payload["student"] for e in events(tmp_path / "again", Kind.ROUND, arm)] == [
            e.payload["student"] for e in events(source, Kind.ROUND, arm)
        ]
    if not budget:
        assert history(tmp_path / "again", None) == history(source, None)
