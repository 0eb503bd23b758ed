"""Selectors that learn from what was bought: what they are told, and that a resumed run picks the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from loop_kit import experiment, history, without_seconds

from elad.interrupt import Stopped
from elad.ledger.events import CONTROL, Kind, Ledger
from elad.loop import run
from elad.outcomes import RevisionOutcome
from elad.protocols import Selector
from elad.records import Candidate, Past, Problem, Revision, from_json, to_json
from elad.selection.encoder import Encoder
from elad.selection.top import Top
from elad.stages.experience import experienced
from elad.testing import ChaosTeacher

TOLD: list[list[Past]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """`top`, which keeps what it is told."""

    encoder: Encoder | None = None

    @property
    def needs_scores(self) -> bool:
        return True

    def having(self, past: Sequence[Past]) -> Selector:
        TOLD.append(list(past))
        return Top()

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        raise AssertionError("a selector that learns is asked by way of `having`")


def listened(folder: Path, **sections: Any) -> list[list[Past]]:
    TOLD.clear()
    run(experiment(**{"rounds": {"count": 3, "questions": 6}} | sections), folder)
    return list(TOLD)


def test_each_round_is_told_what_the_rounds_before_it_bought(tmp_path: Path) -> None:
    told = listened(tmp_path, selector=Listener())
    assert [len(past) for past in told] == [0, 6, 12]
    assert told[2][:6] == told[1]
    assert [past.round for past in told[2]] == [1] * 6 + [2] * 6
    with Ledger(tmp_path, write=False) as ledger:
        picks = [event.payload for event in ledger.events(Kind.PICK)]
        revised = {e.payload["problem_id"]: from_json(Revision, e.payload) for e in ledger.events(Kind.REVISION)}
        scores = [event.payload for event in ledger.events(Kind.SCORE) if event.round == 1]
    for past, pick in zip(told[2], picks, strict=False):
        assert past.problem == from_json(Problem, pick["problem"])
        assert (past.outcome, past.charge) == (revised[past.problem.id].outcome, revised[past.problem.id].charge)
        assert (past.by, past.embedding, past.chain) == (None, None, revised[past.problem.id].before)
    for past in told[1]:
        known = [one for one in scores if one["aggregate"] == past.aggregate]
        assert {name: list(values) for name, values in past.parts.items()} in [one["parts"] for one in known]
        assert set(past.parts) == {"intra", "inter"}


def test_a_selector_that_looks_where_questions_lie_is_told_where_the_bought_ones_do(tmp_path: Path) -> None:
    told = listened(tmp_path, selector=Listener(encoder=Encoder()))
    assert [len(past) for past in told] == [0, 6, 12]
    assert {len(past.embedding or ()) for past in told[2]} == {32}
    with Ledger(tmp_path, write=False) as ledger:
        # By the student of the round: the whole pool of 30 each time, those that were bought too.
        found = [event.round for event in ledger.events(Kind.EMBEDDING)]
    assert found == [1] * 30 + [2] * 30 + [3] * 30


@pytest.mark.parametrize("reviser", ["rewrite", "answer_only"])
def test_a_fresh_explanation_changes_what_ended_elsewhere(tmp_path: Path, reviser: str) -> None:
    told = listened(tmp_path, selector=Listener(), reviser={"kind": reviser}, rounds={"count": 3, "questions": 14})
    assert {past.outcome for past in told[2]} == {RevisionOutcome.REWRITTEN}
    task = experiment().task
    for past in told[2]:
        gold = past.problem.answer
        assert past.changed is not task.same(task.parse(past.chain, past.problem).answer, gold, past.problem)
    assert {past.changed for past in told[2]} == {True, False}


def test_what_failed_says_nothing(tmp_path: Path) -> None:
    told = listened(tmp_path, selector=Listener(), teacher={"kind": "fake", "faults": {"refused": 0.5}})
    with Ledger(tmp_path, write=False) as ledger:
        ends = [from_json(Revision, e.payload).outcome for e in ledger.events(Kind.REVISION) if e.round < 3]
    assert 0 < len(told[2]) == len(ends) - ends.count(RevisionOutcome.FAILED) < 12


def test_what_came_from_the_cache_is_told_at_what_it_had_cost(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        teacher = {"kind": "openai", "base_url": server.base_url, "model": "m", "cache": True}
        first = listened(tmp_path / "a", selector=Listener(), teacher=teacher)
        second = listened(tmp_path / "b", selector=Listener(), teacher=teacher)
    assert without_seconds([to_json(past) for past in second[2]]) == without_seconds([to_json(p) for p in first[2]])
    assert all(past.charge.tokens_out for past in second[2])
    with Ledger(tmp_path / "b", write=False) as ledger:
        assert ledger.spent().calls == 0


def test_an_arm_is_told_of_what_it_bought_itself(tmp_path: Path) -> None:
    told = listened(tmp_path, selector=Listener(), control={"share": 0.5})
    assert [len(past) for past in told] == [0, 3, 6]
    with Ledger(tmp_path, write=False) as ledger:
        own = {event.payload["problem_id"] for event in ledger.of(CONTROL).events(Kind.PICK)}
        main = {event.payload["problem_id"] for event in ledger.of("main").events(Kind.PICK)}
    assert {past.problem.id for past in told[2]} <= main
    assert own - main


BANDIT = {"kind": "bandit", "arms": ["top", "random", {"kind": "part", "name": "inter"}, "core_set"]}


def picks(folder: Path) -> list[tuple[int, str | None, str]]:
    with Ledger(folder, write=False) as ledger:
        return [(e.round, e.payload["by"], e.payload["problem_id"]) for e in ledger.events(Kind.PICK)]


def test_the_ledger_tells_which_arm_picked_what(tmp_path: Path) -> None:
    run(experiment("rounds.count=3", selector=BANDIT), tmp_path)
    found = picks(tmp_path)
    assert [by for number, by, _ in found if number == 1] == ["top", "random", "part", "core_set"] * 2
    assert {by for _, by, _ in found} == {"top", "random", "part", "core_set"}
    assert [by for number, by, _ in found if number == 2] != [by for number, by, _ in found if number == 1]


@pytest.mark.parametrize("selector", [BANDIT, {"kind": "two_sided", "neighbours": 4, "encoder": {}}])
def test_a_run_that_was_killed_before_a_pick_picks_the_same(
    selector: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    run(experiment("rounds.count=3", selector=selector), whole)
    asked = list[int]()

    def killed(world: Any, number: int) -> Selector:
        asked.append(number)
        if number == 3:
            raise Stopped
        return experienced(world, number)

    with monkeypatch.context() as patch:
        patch.setattr("elad.stages.buying.experienced", killed)
        with pytest.raises(Stopped):
            run(experiment("rounds.count=3", selector=selector), half)
    assert asked == [1, 2, 3]
    assert len(picks(half)) == 16
    run(experiment("rounds.count=3", selector=selector), half)
    assert picks(half) == picks(whole)
    assert history(half) == history(whole)
