"""A run whose teacher are people, who answer in the page while it waits."""

import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, history
from web_kit import ORIGIN, Seat, locked, sitting

from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger, is_held
from elad.ledger.reconcile import reconcile
from elad.loop import run
from elad.outcomes import Purpose, RevisionOutcome
from elad.records import Request, from_json
from elad.teachers.human import Asked
from elad.teachers.reference import answer


def peopled(*overrides: str) -> Experiment:
    return experiment("rounds.count=1", "rounds.questions=3", *overrides).but(teacher={"kind": "human"})


def respond(seat: Seat, said: Request) -> str:
    """Gives the reference's answer in the form of the page."""
    text = answer(said).text
    fields = {"text": text}
    if said.purpose is Purpose.JUDGE:
        found = json.loads(text)
        verdict = "right" if found["first_error"] is None else str(found["first_error"])
        fields = {"verdict": verdict, "corrected_step": found["corrected_step"], "reason": found["reason"]}
    return send(seat, said, fields)


def send(seat: Seat, said: Request, fields: dict[str, str]) -> str:
    page = seat.read(f"/waiting/{said.key}")
    csrf = page.split('name="csrf" value="')[1].split('"')[0]
    response = seat.client.post(f"/waiting/{said.key}", data=fields | {"csrf": csrf}, headers=ORIGIN)
    assert response.status_code == 200
    return unescape(response.text)


def asked(folder: Path) -> list[Request]:
    """What waits, in order."""
    with Ledger(folder, write=False) as ledger:
        requests = [from_json(Request, event.payload["request"]) for event in ledger.events(Kind.REQUEST)]
        return [one for one in requests if not ledger.has(Kind.ANSWER, one.key)]


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """They answer in the page whenever the run waits for them; the list tells the purposes."""
    purposes = list[str]()

    def answered(self: Asked, *_: Any) -> None:
        def sleep(seconds: float) -> None:
            assert is_held(tmp_path)
            with sitting(tmp_path) as seat:
                for one in asked(tmp_path):
                    purposes.append(one.purpose)
                    respond(seat, one)

        self._sleep = sleep

    made = Asked.attend

    def attend(self: Asked, *given: Any) -> None:
        made(self, *given)
        answered(self)

    monkeypatch.setattr(Asked, "attend", attend)
    return purposes


def test_a_run_with_people_comes_to_what_the_same_answers_of_a_machine_come_to(
    tmp_path: Path, people: list[str]
) -> None:
    rounds = run(peopled(), tmp_path)
    assert set(people) >= {"judge", "continue"}
    other = run(experiment("rounds.count=1", "rounds.questions=3"), tmp_path / "other")
    assert [turn.accuracy for turn in rounds] == [turn.accuracy for turn in other]
    assert rounds[-1].revisions == other[-1].revisions
    with Ledger(tmp_path, write=False) as ledger:
        assert {event.payload["reviewer"] for event in ledger.events(Kind.ANSWER)} == {"ana"}
        books = reconcile(ledger)
    assert books.problems == ()
    assert books.open == ()


def test_a_run_that_is_stopped_asks_the_same_again(
    tmp_path: Path, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("elad.teachers.human.stopping", lambda: True)
        run(peopled(), tmp_path)
    waiting = asked(tmp_path)
    assert len(waiting) == 3
    with sitting(tmp_path) as seat:
        assert "3 requests" in seat.read("/waiting")
        respond(seat, waiting[0])
        assert "2 requests" in seat.read("/waiting")
    before = history(tmp_path)
    run(peopled(), tmp_path)
    after = history(tmp_path)
    assert before.items() <= after.items()
    assert len(people) == len(after.keys() & {key for key in after if key.startswith("answer/")}) - 1


def test_an_answer_that_the_ledger_does_not_take_is_kept_in_its_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elad.teachers.human.stopping", lambda: True)
    monkeypatch.setattr("elad.ledger.people._WAIT_SECONDS", 0.01)
    run(peopled(), tmp_path)
    with sitting(tmp_path) as seat, locked(tmp_path):
        page = send(seat, asked(tmp_path)[0], {"verdict": "right", "reason": "my own words"})
    assert "Nothing was saved: the ledger cannot be written now" in page
    assert "my own words</textarea>" in page
    assert len(asked(tmp_path)) == 3


def test_what_is_no_answer_is_told_and_an_answer_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elad.teachers.human.stopping", lambda: True)
    run(peopled(), tmp_path)
    judge = asked(tmp_path)[0]
    assert judge.purpose is Purpose.JUDGE
    with sitting(tmp_path) as seat:
        for fields in ({}, {"verdict": "-1"}, {"verdict": str(len(judge.steps))}, {"verdict": "wrong"}):
            assert "say which step is the first wrong one" in send(seat, judge, fields)
        assert "1,000 characters" in send(seat, judge, {"verdict": "right", "reason": "x" * 1001})
        assert len(asked(tmp_path)) == 3
        page = seat.read(f"/waiting/{judge.key}")
        csrf = page.split('name="csrf" value="')[1].split('"')[0]
        respond(seat, judge)
        fields = {"verdict": "right", "csrf": csrf}
        assert seat.client.post(f"/waiting/{judge.key}", data=fields, headers=ORIGIN).status_code == 404
        assert seat.client.get("/waiting/0000000000000000").status_code == 404
    assert len(asked(tmp_path)) == 2


def test_a_continuation_must_conclude(tmp_path: Path, people: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    refused = list[str]()

    def hasty(seat: Seat, said: Request) -> str:
        if said.purpose is Purpose.CONTINUE and not refused:
            refused.append(send(seat, said, {"text": "1 + 1 = 2."}))
            refused.append(send(seat, said, {"text": " "}))
        return respond_well(seat, said)

    respond_well = respond
    monkeypatch.setitem(globals(), "respond", hasty)
    rounds = run(peopled(), tmp_path)
    assert "must end in a conclusion" in refused[0]
    assert "the answer is empty" in refused[1]
    assert rounds[-1].revisions.keys() <= {RevisionOutcome.REPAIRED, RevisionOutcome.ACCEPTED}
