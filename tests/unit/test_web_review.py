"""Decisions in the page: saved with a name, one at a time, and told."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from shutil import copytree

import pytest
from loop_kit import experiment
from web_kit import ORIGIN, Seat, bought, locked, replaced, seated, sitting

from elad.ledger.events import Kind, Ledger
from elad.ledger.people import Review, review_of, standing
from elad.loop import run
from elad.outcomes import Decision
from elad.web.agreement import agreement


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run(experiment("rounds.count=1"), folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return copytree(made, tmp_path / "run")


@pytest.fixture
def seat(folder: Path) -> Iterator[Seat]:
    with sitting(folder) as one:
        yield one


@pytest.fixture
def key(folder: Path) -> str:
    return bought(folder)[0][0]


def said(folder: Path) -> list[Review]:
    with Ledger(folder, write=False) as ledger:
        return [review_of(event) for event in ledger.events(Kind.REVIEW)]


def test_each_decision_is_an_event_with_its_reviewer(seat: Seat, folder: Path, key: str) -> None:
    assert "Accepted." in seat.decide(key, "accept")
    assert "Rejected" in seat.decide(key, "reject")
    assert "as edited" in seat.decide(key, "edit", after="1 + 1 = 2.\r\nThe answer is 2.")
    assert [(one.decision, one.reviewer, one.after) for one in said(folder)] == [
        ("accept", "ana", None),
        ("reject", "ana", None),
        ("edit", "ana", "1 + 1 = 2.\nThe answer is 2."),
    ]
    assert {one.problem_id for one in said(folder)} == {bought(folder)[0][1].id}
    assert "1 question" in seat.read("/?review=edit")
    assert "No question is like that" in seat.read("/?review=accept")


def test_undo_goes_back_step_by_step(seat: Seat, folder: Path, key: str) -> None:
    for decision in ("accept", "reject", "undo"):
        seat.decide(key, decision)
    with Ledger(folder, write=False) as ledger:
        assert [one.decision for one in standing(ledger).values()] == ["accept"]
    seat.decide(key, "undo")
    assert "there is nothing to undo" in seat.decide(key, "undo")
    assert len(said(folder)) == 4
    with Ledger(folder, write=False) as ledger:
        assert standing(ledger) == {}


def test_two_reviewers_do_not_overwrite_one_another(folder: Path, key: str) -> None:
    with seated(folder, "ana", "ben") as (ana, ben):
        ana.enter()
        ben.enter()
        hers, his = ana.form(key), ben.form(key)
        assert hers["csrf"] != his["csrf"]
        assert "Rejected" in ana.send(key, hers | {"decision": "reject"})
        told = ben.send(key, his | {"decision": "accept"})
        assert "someone else was quicker" in told
        assert "<b>reject</b> by <bdi>ana</bdi>" in told
        assert 'role="alert"' in told
        assert [one.reviewer for one in said(folder)] == ["ana"]
        assert "Accepted" in ben.decide(key, "accept")
        assert [one.reviewer for one in said(folder)] == ["ana", "ben"]
        assert ben.client.post(f"/questions/{key}/review", data=hers, headers=ORIGIN).status_code == 403


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"decision": "edit", "after": "  \n "}, "the chain is empty"),
        ({"decision": "edit", "after": "no end"}, "must end in a conclusion"),
        ({"decision": "edit", "after": "1 " * 20_000 + "\nThe answer is 7."}, "more than 20,000 characters"),
        ({"decision": "nonsense"}, "not one of this page"),
        ({"decision": ""}, "not one of this page"),
        ({"decision": "accept", "seen": "x"}, "not one of this page"),
        ({"decision": "accept", "seen": "-1"}, "someone else was quicker"),
        ({"decision": "accept", "seen": "7"}, "someone else was quicker"),
        ({"decision": "accept", "revision": "nonsense"}, "there is no such revision"),
        ({"decision": "undo"}, "there is nothing to undo"),
    ],
)
def test_what_cannot_be_saved_is_told_and_not_saved(
    seat: Seat, folder: Path, key: str, fields: dict[str, str], why: str
) -> None:
    assert why in unescape(seat.send(key, seat.form(key) | fields))
    assert said(folder) == []


def test_what_the_ledger_does_not_take_is_told(
    seat: Seat, folder: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elad.ledger.people._WAIT_SECONDS", 0.01)
    with locked(folder):
        told = unescape(seat.decide(key, "reject"))
    assert "Nothing was saved: the ledger cannot be written now" in told
    assert 'role="alert"' in told
    assert str(folder) not in told
    assert said(folder) == []
    assert "Rejected" in seat.decide(key, "reject")


def posted(page: str) -> dict[str, str]:
    """What a browser sends at a press of Accept: the fields of the form that has the button."""
    (form,) = [part for part in re.findall("<form.*?</form>", page, re.S) if 'value="accept"' in part]
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    areas = re.findall(r'<textarea name="(\w+)"[^>]*>(.*?)</textarea>', form, re.S)
    return {name: unescape(value) for name, value in (*hidden, *areas)} | {"decision": "accept"}


def test_a_chain_of_a_megabyte_is_decided_on_and_not_edited(tmp_path: Path) -> None:
    run(experiment("rounds.count=1"), tmp_path)
    key, _, revision = bought(tmp_path)[0]
    huge = "<b>1 + 1 = 2</b> " * 60_000
    replaced(tmp_path, revision, {"before": huge, "after": f"{huge}\nThe answer is 7."})
    with sitting(tmp_path) as seat:
        page = seat.read(f"/questions/{key}")
        assert "cannot be edited here" in page
        assert "<textarea" not in page
        assert "Accepted." in seat.send(key, posted(page))
        assert "Undone." in seat.decide(key, "undo")
        assert "Rejected" in seat.decide(key, "reject")
    assert [one.decision for one in said(tmp_path)] == ["accept", "undo", "reject"]


def test_a_chain_is_edited_in_a_form_of_its_own(seat: Seat, key: str) -> None:
    page = seat.read(f"/questions/{key}")
    assert "after" not in posted(page)
    (editor,) = [part for part in re.findall("<form.*?</form>", page, re.S) if "<textarea" in part]
    assert 'name="seen"' in editor
    assert 'value="edit"' in editor


def test_a_revision_of_another_question_is_none_of_this_one(seat: Seat, folder: Path, key: str) -> None:
    other = bought(folder)[1][0]
    assert "there is no such revision" in seat.send(key, seat.form(other) | {"decision": "accept"})
    assert said(folder) == []


def test_without_scripts_a_form_leads_back_to_its_page(seat: Seat, folder: Path, key: str) -> None:
    fields = seat.form(key) | {"decision": "accept"}
    response = seat.client.post(f"/questions/{key}/review", data=fields, headers=ORIGIN)
    assert "<html" in response.text
    assert "<b>accept</b> by <bdi>ana</bdi>" in response.text
    response = seat.client.post(f"/questions/{key}/review", data=fields, headers=ORIGIN)
    assert "<html" in response.text
    assert "someone else was quicker" in response.text


def test_an_edit_is_shown_as_what_is_learnt(seat: Seat, key: str) -> None:
    told = seat.decide(key, "edit", after="<b>1</b> + 1 = 2.\nThe answer is 2.")
    assert "&lt;b&gt;1&lt;/b&gt; + 1 = 2." in told
    assert "<b>1</b>" not in told
    assert "The chain as edited" in told
    assert "(as edited)" in told


def test_a_run_under_way_is_reviewed(folder: Path, key: str) -> None:
    with Ledger(folder, write=True) as ledger, sitting(folder) as seat:
        assert "running" in seat.read("/run")
        assert "Accepted." in seat.decide(key, "accept")
        ledger.append(Kind.STAGE, [("x", {"stage": "x", "seconds": 1.0})], round=1)
        assert len(standing(ledger)) == 1


def test_agreement_counts_what_stands_and_what_people_share() -> None:
    def one(revision: str, decision: Decision, reviewer: str) -> Review:
        return Review(revision=revision, problem_id="p", decision=decision, reviewer=reviewer)

    told = agreement(
        [
            one("a", Decision.ACCEPT, "ana"),
            one("a", Decision.ACCEPT, "ben"),
            one("b", Decision.REJECT, "ana"),
            one("b", Decision.EDIT, "ben"),
            one("c", Decision.ACCEPT, "ana"),
            one("d", Decision.REJECT, "ben"),
            one("d", Decision.UNDO, "ben"),
        ],
        {"a": "repaired", "b": "repaired", "c": "accepted", "d": "accepted"},
    )
    assert (told.teacher.count, told.teacher.of) == (2, 3)
    assert {name: (share.count, share.of) for name, share in told.by_outcome.items()} == {
        "accepted": (1, 1),
        "repaired": (1, 2),
    }
    assert {pair: (share.count, share.of) for pair, share in told.reviewers.items()} == {("ana", "ben"): (1, 2)}
    low, high = told.teacher.interval
    assert low < 2 / 3 < high


def test_agreement_is_on_the_page_of_the_run(seat: Seat, folder: Path) -> None:
    assert "Nothing was reviewed yet" in seat.read("/run")
    (first, *_), (second, *_) = bought(folder)[:2]
    seat.decide(first, "accept")
    seat.decide(second, "reject")
    assert "1 of 2 (9 to 91 %)" in seat.read("/run")
