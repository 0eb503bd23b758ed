"""A run that stops early: when, in which words, and that it is the beginning of the run that does not."""

import re
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, history, problems
from test_resume import KILLED_AT, killed

from elad.errors import ConfigError
from elad.experiment import Data, Experiment
from elad.ledger.course import measured
from elad.ledger.events import CONTROL, MAIN, Kind, Ledger
from elad.loop import run
from elad.progress import Silent
from elad.replay import replay
from elad.report.status import round_table, status
from elad.stages.stopping import enough
from elad.world import World

RULES: dict[str, dict[str, Any]] = {
    "value": {"kind": "value", "at_least": 1000, "per": "question"},
    "stable": {"kind": "stable", "agreement": 0.01},
    "confident": {"kind": "confident", "below": 0.999, "share": 0.1, "after": 3},
}
"""Each as eager as can be: after three rounds all of them have had enough."""
WORDS = {
    "value": r"the next round brings .* points a question by the curve so far, .* at most \(95 %\); 1000 are asked for",
    "stable": r"the answers of the last 4 students agree by a kappa of 0\.\d+; 0\.01 is asked for",
    "confident": r"\d+ of the 15 questions that are left score below 0\.999",
}
every_rule = pytest.mark.parametrize("kind", RULES)


def stopping(kind: str | None, *overrides: str, **sections: Any) -> Experiment:
    """Six rounds of five questions from a pool of thirty, unless they are stopped."""
    rule = {"stopping": RULES[kind]} if kind else {}
    return experiment(*overrides, **({"rounds": {"count": 6, "questions": 5}} | rule | sections))


def picks(folder: Path, arm: str | None = None) -> list[tuple[str, int, str]]:
    with Ledger(folder, write=False) as ledger:
        return [(event.arm, event.round, event.payload["problem_id"]) for event in ledger.of(arm).events(Kind.PICK)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(stopping(None), folder)
    return folder


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@every_rule
def test_it_stops_early_and_says_why(whole: Path, tmp_path: Path, kind: str) -> None:
    notes = Notes()
    rounds = run(stopping(kind), tmp_path, notes)
    assert [turn.round for turn in rounds] == [0, 1, 2, 3]
    told = status(tmp_path)
    assert told["state"] == "finished"
    assert re.fullmatch(f"stopped early: {WORDS[kind]}", told["reason"])
    assert told["reason"] in str(round_table(told).title)
    assert notes.said == [f"round {number} is begun: 3 rounds come first" for number in (1, 2, 3)]
    assert history(tmp_path).items() <= history(whole).items()
    assert picks(tmp_path) == picks(whole)[:15]


@every_rule
def test_a_resumed_run_stops_at_the_same_place(tmp_path: Path, kind: str) -> None:
    run(stopping(kind), tmp_path / "whole")
    done, reason = history(tmp_path / "whole"), status(tmp_path / "whole")["reason"]
    run(stopping(kind), tmp_path / "whole")
    assert history(tmp_path / "whole") == done
    assert status(tmp_path / "whole")["reason"] == reason
    script = KILLED_AT.replace("run(experiment()", f"run(stopping({kind!r})").replace(
        "from loop_kit import experiment", "from test_loop_stopping import stopping"
    )
    kills = sum(1 for _ in iter(lambda: killed(tmp_path / "killed", 30, "after", script), False))
    assert kills > 1
    assert history(tmp_path / "killed") == done
    assert status(tmp_path / "killed")["reason"] == reason


@every_rule
def test_the_rule_may_be_given_changed_or_taken_back_on_resume(whole: Path, tmp_path: Path, kind: str) -> None:
    """What was stopped goes on to the very ledger of the run that never was; what was bought stays."""
    run(stopping(kind), tmp_path)
    run(stopping(None), tmp_path)
    assert history(tmp_path) == history(whole)
    assert len(run(stopping(kind), tmp_path)) == 7
    assert history(tmp_path) == history(whole)
    assert status(tmp_path)["reason"] == "all rounds done"


def test_without_a_rule_nothing_is_said_of_it(tmp_path: Path) -> None:
    notes = Notes()
    run(stopping(None, "stopping=null", "rounds.count=2"), tmp_path, notes)
    assert notes.said == []
    assert stopping(None).stopping is None
    assert Experiment.of(stopping(None).resolved() | {"data": stopping(None).data}) == stopping(None)
    assert stopping("stable", "stopping.window=2").resolved()["stopping"] == {
        "kind": "stable", "agreement": 0.01, "window": 2
    }  # fmt: skip
    assert stopping(None, "stopping.kind=stable") == stopping(None, "stopping=stable")


def test_a_rule_that_goes_by_scores_needs_some() -> None:
    with pytest.raises(
        ConfigError, match=r"stopping: 'confident' goes by scores, and the selector 'random' needs none"
    ):
        stopping("confident", selector={"kind": "random"})
    with pytest.raises(ConfigError, match=r"stopping\.kind: unknown kind 'vlaue'; did you mean 'value'\?"):
        stopping(None, stopping={"kind": "vlaue"})
    with pytest.raises(ConfigError, match=r"stopping\.below: "):
        stopping(None, stopping={"kind": "confident"})


def test_a_control_stops_with_the_main_arm(tmp_path: Path) -> None:
    data = Data(pool=problems(60, 1, "p"), heldout=problems(12, 2, "h"), warmup=problems(4, 3, "w"))
    both = {"control": {"share": 0.25}, "rounds": {"count": 6, "questions": 8}, "data": data}
    run(stopping("value", **both), tmp_path / "stopped")
    run(stopping(None, "rounds.count=3", **both), tmp_path / "three")
    assert status(tmp_path / "stopped")["reason"].startswith("stopped early: the next round brings")
    for arm in (MAIN, CONTROL):
        assert picks(tmp_path / "stopped", arm) == picks(tmp_path / "three", arm)
    assert history(tmp_path / "stopped", None) == history(tmp_path / "three", None)
    with World.open(stopping("value", **both), tmp_path / "stopped") as main:
        assert main.control is not None
        main.control.exhausted = "budget reached: calls: 9"
        assert enough(main, 4, 6)
    reason = status(tmp_path / "stopped")["reason"]
    assert re.fullmatch(r"main: stopped early: .*; control: budget reached: calls: 9", reason)


@every_rule
def test_a_replay_ends_where_the_run_did(tmp_path: Path, kind: str) -> None:
    from test_replay import finished

    rounds = {"count": 5, "questions": 5}
    finished(tmp_path, rounds=rounds)
    source = finished(tmp_path, rounds=rounds, stopping=RULES[kind])  # too late: all is bought
    again = replay(source, tmp_path / "again").rounds
    assert [turn.round for turn in again] == [0, 1, 2, 3, 4, 5]
    other = replay(source, tmp_path / "other", ["stopping.kind=" + kind]).rounds
    assert [(turn.accuracy, turn.picks) for turn in other] == [(turn.accuracy, turn.picks) for turn in again[:4]]
    assert status(tmp_path / "other")["reason"].startswith("stopped early: ")


def test_the_course_is_that_of_the_rounds(whole: Path) -> None:
    rows = status(whole)["rounds"]
    with Ledger(whole, write=False) as ledger:
        course = measured(ledger.of(MAIN))
    assert [sum(one.right) / len(one.right) for one in course] == [row["accuracy"] for row in rows]
    assert [one.questions for one in course] == [row["questions"] for row in rows]
    assert {len(one.answers) for one in course} == {12}
