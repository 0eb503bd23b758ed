"""What reviewers say is learnt by later rounds, and changes nothing that was measured."""

import json
from pathlib import Path
from typing import Any

import pytest
from loop_kit import as_text, experiment, history

from elad.ledger.events import CONTROL, Kind, Ledger
from elad.ledger.people import Review, write_review
from elad.loop import run
from elad.outcomes import Decision
from elad.records import Example
from elad.replay import replay
from elad.report.export import export
from elad.students.fake import FakeStudent

EDITED = "1 + 1 = 2.\nThe answer is 2."


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> list[list[Example]]:
    """What each training was given."""
    given: list[list[Example]] = []
    fit = FakeStudent.fit

    def noted(self: FakeStudent, examples: list[Example], *more: Any, **named: Any) -> Any:
        given.append(list(examples))
        return fit(self, examples, *more, **named)

    monkeypatch.setattr(FakeStudent, "fit", noted)
    return given


def revisions(folder: Path) -> list[tuple[str, str]]:
    """Key and question of each trainable revision, in order."""
    with Ledger(folder, write=False) as ledger:
        told = [(event.key, event.payload) for event in ledger.events(Kind.REVISION)]
    return [(key, payload["problem_id"]) for key, payload in told if payload["after"] is not None]


def decide(folder: Path, revision: tuple[str, str], decision: Decision, seen: int = 0) -> None:
    after = EDITED if decision is Decision.EDIT else None
    said = Review(revision=revision[0], problem_id=revision[1], decision=decision, reviewer="ana", after=after)
    assert write_review(folder, said, seen=seen, number=1)


def targets(examples: list[Example]) -> dict[str, str]:
    return {example.problem_id: example.target for example in examples}


def test_the_next_round_learns_as_reviewers_left_it(tmp_path: Path, learnt: list[list[Example]]) -> None:
    run(experiment("rounds.count=1"), tmp_path)
    first, second, third = revisions(tmp_path)[:3]
    decide(tmp_path, first, Decision.REJECT)
    decide(tmp_path, second, Decision.EDIT)
    decide(tmp_path, third, Decision.REJECT)
    decide(tmp_path, third, Decision.UNDO, seen=1)
    before = targets(learnt[-1])
    learnt.clear()
    rounds = run(experiment("rounds.count=2"), tmp_path)
    after = targets(learnt[-1])
    assert len(learnt) == 1
    assert first[1] in before
    assert first[1] not in after
    assert after[second[1]] == EDITED != before[second[1]]
    assert after[third[1]] == before[third[1]]
    assert {example.source for example in learnt[-1]} >= {"warmup", "edited"}
    assert rounds[-1].examples == len(learnt[-1])


def test_what_was_measured_stays_what_it_was(tmp_path: Path, learnt: list[list[Example]]) -> None:
    run(experiment(), tmp_path)
    before = history(tmp_path)
    for revision in revisions(tmp_path):
        decide(tmp_path, revision, Decision.REJECT)
    learnt.clear()
    run(experiment(), tmp_path)
    after = {key: value for key, value in history(tmp_path).items() if not key.startswith("review/")}
    assert as_text(after) == as_text(before)
    assert learnt == []


def test_a_round_that_was_killed_hears_what_was_said_before_it_goes_on(
    tmp_path: Path, learnt: list[list[Example]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("elad.loop.evaluate", _killed_after(1))
        with pytest.raises(KeyboardInterrupt):
            run(experiment("rounds.count=1"), tmp_path)
    first = revisions(tmp_path)[0]
    assert first[1] in targets(learnt[-1])
    decide(tmp_path, first, Decision.REJECT)
    (_, turn) = run(experiment("rounds.count=1"), tmp_path)
    assert first[1] not in targets(learnt[-1])
    assert turn.examples == len(learnt[-1])
    decide(tmp_path, first, Decision.UNDO, seen=1)
    learnt.clear()
    assert run(experiment("rounds.count=1"), tmp_path)[-1] == turn
    assert learnt == []


def _killed_after(count: int) -> Any:
    from elad.stages.learning import evaluate

    left = iter(range(count))

    def some(world: Any, number: int) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return evaluate(world, number)

    return some


def test_a_replay_hears_what_its_source_heard(tmp_path: Path, learnt: list[list[Example]]) -> None:
    source, pool = tmp_path / "source", tmp_path / "pool.jsonl"
    made = experiment("rounds.count=1", data=_files(pool))
    run(made, source)
    first = revisions(source)[0]
    decide(source, first, Decision.REJECT)
    rounds = run(made.but(["rounds.count=2"]), source)
    learnt.clear()
    again = replay(source, tmp_path / "again").rounds
    assert [turn.accuracy for turn in again] == [turn.accuracy for turn in rounds]
    assert [turn.student for turn in again] == [turn.student for turn in rounds]
    assert learnt == []  # the source lends its students, so each was trained on the same rows


def _files(pool: Path) -> dict[str, Any]:
    from loop_kit import problems

    from elad.records import to_json

    heldout = pool.with_name("heldout.jsonl")
    for path, part in ((pool, problems(30, 1, "p")), (heldout, problems(12, 2, "h"))):
        path.write_text("\n".join(json.dumps(to_json(one)) for one in part), encoding="utf-8")
    return {"pool": str(pool), "heldout": str(heldout)}


def test_both_arms_hear_the_same(tmp_path: Path) -> None:
    halved = ("control.share=0.5",)
    run(experiment("rounds.count=1", *halved), tmp_path)
    decide(tmp_path, revisions(tmp_path)[0], Decision.REJECT)
    run(experiment("rounds.count=2", *halved), tmp_path)
    with Ledger(tmp_path, write=False) as ledger:
        heard = list(ledger.events(Kind.HEARD))
        trained = {event.arm for event in ledger.events(Kind.TRAINING) if event.round == 2}
    assert len(heard) == 1
    assert trained >= {CONTROL}


def test_exports_use_reviews(tmp_path: Path) -> None:
    run(experiment("rounds.count=1"), tmp_path / "run")
    first, second, third = revisions(tmp_path / "run")[:3]

    def rows(to: str) -> dict[str, Any]:
        export(tmp_path / "run", to, tmp_path / "out.jsonl")
        lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
        return {row["provenance"]["problem_id"]: row for row in map(json.loads, lines)}

    before = rows("messages")
    decide(tmp_path / "run", first, Decision.REJECT)
    decide(tmp_path / "run", second, Decision.EDIT)
    decide(tmp_path / "run", third, Decision.ACCEPT)
    after = rows("messages")
    assert before.keys() - after.keys() == {first[1]}
    assert after[second[1]]["messages"][-1]["content"] == EDITED
    told = {key: after[key[1]]["provenance"] for key in (second, third)}
    assert (told[second]["outcome"], told[second]["decision"], told[second]["reviewer"]) == ("edited", "edit", "ana")
    assert told[third]["decision"] == "accept"
    for to in ("preference", "stepwise"):
        assert not rows(to).keys() & {first[1], second[1]}
