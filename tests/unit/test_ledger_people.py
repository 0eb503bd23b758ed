"""What people say beside a run: appended under its feet, once each, and never in the way of its books."""

from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import RunFolderError
from elad.ledger.events import Kind, Ledger
from elad.ledger.people import Answer, Review, last_standing, reviewed, standing, write_answer, write_review
from elad.outcomes import Decision, RevisionOutcome, Verdict
from elad.records import Charge, Revision


def review(decision: Decision, reviewer: str = "ana", after: str | None = None) -> Review:
    return Review(revision="r", problem_id="p", decision=decision, reviewer=reviewer, after=after)


REVISION = Revision(
    problem_id="p",
    outcome=RevisionOutcome.REPAIRED,
    before="1 + 1 = 3.\nThe answer is 3.",
    after="1 + 1 = 2.\nThe answer is 2.",
    answer="2",
    verdicts=(Verdict.WRONG, Verdict.UNJUDGED),
    first_error=0,
    edit="1 + 1 = 2.",
    reason="",
    reviser="first_error",
    charge=Charge(calls=1),
    requests=("q",),
    prompt_versions=(),
)


def test_a_review_is_appended_while_a_run_holds_the_folder(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True) as ledger:
        ledger.append(Kind.REVISION, [("r", {})], round=1)
        assert write_review(tmp_path, review(Decision.ACCEPT), seen=0, number=1)
        ledger.append(Kind.REVISION, [("s", {})], round=1)
        assert standing(ledger) == {"r": review(Decision.ACCEPT)}
        assert [event.kind for event in ledger.events()] == [Kind.REVISION, Kind.REVIEW, Kind.REVISION]


def test_of_two_who_saw_the_same_state_one_is_told(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True):
        pass
    assert write_review(tmp_path, review(Decision.ACCEPT), seen=0, number=1)
    assert not write_review(tmp_path, review(Decision.REJECT, "ben"), seen=0, number=1)
    with Ledger(tmp_path, write=False) as ledger:
        assert standing(ledger) == {"r": review(Decision.ACCEPT)}
    assert write_review(tmp_path, review(Decision.REJECT, "ben"), seen=1, number=1)
    with Ledger(tmp_path, write=False) as ledger:
        assert standing(ledger) == {"r": review(Decision.REJECT, "ben")}


def test_of_many_at_once_exactly_one_comes_first(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True):
        pass
    said: list[bool] = []

    def decide(name: str) -> None:
        said.append(write_review(tmp_path, review(Decision.ACCEPT, name), seen=0, number=1))

    threads = [Thread(target=decide, args=(f"r{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [False] * 7 + [True]


def test_a_request_is_answered_once(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True):
        pass
    answer = Answer(text="7", reviewer="ana", seconds=1.0)
    assert write_answer(tmp_path, "q", answer, number=1)
    assert not write_answer(tmp_path, "q", Answer(text="8", reviewer="ben", seconds=1.0), number=1)
    with Ledger(tmp_path, write=False) as ledger:
        assert [event.payload["text"] for event in ledger.events(Kind.ANSWER)] == ["7"]


def test_no_ledger_is_made_by_a_review(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_review(tmp_path, review(Decision.ACCEPT), seen=0, number=1)
    assert not list(tmp_path.iterdir())


def test_the_time_of_people_is_no_working_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 90_000.0, 90_500.0, 91_000.0, 91_007.0])
    monkeypatch.setattr("time.time", lambda: next(clock))
    with Ledger(tmp_path, write=True) as ledger:
        ledger.append(Kind.SESSION, [("a", 1)], round=0)
        ledger.append(Kind.DRAFT, [("b", 1)], round=0)
        write_review(tmp_path, review(Decision.ACCEPT), seen=0, number=1)
        write_answer(tmp_path, "q", Answer(text="", reviewer="ana", seconds=0.0), number=1)
        ledger.append(Kind.SESSION, [("c", 1)], round=0)
        ledger.append(Kind.DRAFT, [("d", 1)], round=0)
        assert ledger.elapsed_seconds() == pytest.approx(17.0)


@given(st.lists(st.sampled_from(Decision), max_size=12))
def test_an_undo_takes_back_what_it_follows_and_no_more(decisions: list[Decision]) -> None:
    said = [review(decision, after=f"{n}") for n, decision in enumerate(decisions)]
    stands = last_standing(said)
    more = review(Decision.ACCEPT, "ben")
    assert last_standing([*said, more]) == more
    assert last_standing([*said, more, review(Decision.UNDO)]) == stands
    assert stands is None or stands.decision is not Decision.UNDO


def test_a_revision_is_what_its_review_leaves_of_it() -> None:
    assert reviewed(REVISION, None) == REVISION
    assert reviewed(REVISION, review(Decision.ACCEPT)) == REVISION
    assert reviewed(REVISION, review(Decision.REJECT)) is None
    edited = reviewed(REVISION, review(Decision.EDIT, after="The answer is 9."))
    assert edited
    assert (edited.outcome, edited.after, edited.edit) == (RevisionOutcome.EDITED, "The answer is 9.", None)
    assert edited.outcome.trainable
    assert edited.verdicts == ()
    assert edited.charge == REVISION.charge
