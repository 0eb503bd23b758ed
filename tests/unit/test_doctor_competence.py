"""The teacher measured as a reviser: figures that are known, advice by its rule, the price told first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_kit import experiment, problems

from elad.doctor import competence as measuring
from elad.doctor.advice import ACCEPTED_LEVEL, Figures, Share, advise
from elad.doctor.checkup import checkup, told
from elad.doctor.competence import measure
from elad.errors import RefusedError, TeacherError
from elad.evaluation.intervals import wilson
from elad.evaluation.step_finding import revise_all
from elad.experiment import Data
from elad.ledger.cache import cache_folder
from elad.ledger.events import Ledger
from elad.progress import Silent
from elad.records import Problem
from elad.teachers.fake import Fault as Spoilt
from elad.testing import ChaosTeacher, Fault

EIGHT = [(judge, repair) for judge in ("direct", "compare", "rollout", "stepwise") for repair in ("blind", "shown")]


class Notes(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def without_gold() -> Data:
    pool = (Problem(id="u", question="What is 1 + 1?"), *problems(3, 1, "p"))
    return Data(pool=pool, heldout=problems(2, 2, "h"))


def counts(mode: Figures) -> tuple[int, int, int, int]:
    return mode.found.count, mode.accepted.count, mode.repaired.count, mode.copied.count


def test_the_reference_finds_and_repairs_all() -> None:
    found = measure(experiment(), Silent())
    assert (found.teacher, found.wrong, found.right, found.uses_gold) == ("reference", 16, 10, True)
    assert [(mode.judge, mode.repair) for mode in found.modes] == [mode for mode in EIGHT if mode[0] != "rollout"]
    assert found.left_out == ("rollout",)
    assert {counts(mode) for mode in found.modes} == {(16, 10, 16, 0)}
    assert (found.advice.judge, found.advice.repair) == ("direct", "blind")
    assert len(found.advice.alike) == 5


def test_the_scripted_teacher_serves_every_judge() -> None:
    found = measure(experiment(teacher={"kind": "fake"}), Silent())
    assert [(mode.judge, mode.repair) for mode in found.modes] == EIGHT
    by_judge = {mode.judge: counts(mode) for mode in found.modes if mode.repair == "blind"}
    assert by_judge["direct"] == by_judge["compare"] == by_judge["stepwise"] == (16, 10, 16, 0)
    assert by_judge["rollout"][1:3] == (10, 16)
    calls = {mode.name: mode.calls for mode in found.modes}
    assert calls["direct blind"] == 26 + 16
    assert calls["compare blind"] == 2 * 26 + 16
    assert found.spent.calls < sum(calls.values())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(Spoilt.COPIED, (0, 0, 0, 16)), (Spoilt.GARBAGE, (0, 0, 0, 0)), (Spoilt.WRONG_INDEX, (0, 0, 0, 0))],
)
def test_what_a_teacher_gets_wrong_is_counted(fault: Spoilt, expected: tuple[int, int, int, int]) -> None:
    found = measure(experiment(teacher={"kind": "fake", "faults": {fault: 1.0}}), Silent())
    (shown,) = [mode for mode in found.modes if mode.name == "direct shown"]
    assert counts(shown)[1:] == expected[1:]
    assert found.advice.judge is None or found.advice.judge == "rollout"


def test_a_pool_without_gold_answers_is_measured_without_them() -> None:
    blind = measure(experiment(data=without_gold(), teacher={"kind": "reference"}), Silent())
    assert not blind.uses_gold
    assert {counts(mode) for mode in blind.modes} == {(0, 0, 0, 0)}
    assert blind.advice.judge is None
    assert "rewrite" in blind.advice.reason


def test_the_price_is_told_before_anything_is_asked_and_holds_what_is_spent() -> None:
    notes = Notes()
    teacher = {"kind": "fake", "seed": 3, "price": {"input": 1.0, "output": 2.0}}
    found = measure(experiment(teacher=teacher), notes)
    assert len(notes.said) == 1
    assert "measuring 8 modes takes" in notes.said[0]
    assert "USD" in notes.said[0]
    low, high = (float(word) for word in notes.said[0].split() if word.startswith("0."))
    assert low * 0.99 <= found.spent.money <= high


def test_a_measurement_that_stopped_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    real, done = revise_all, list[Any]()

    def stopping(*given: Any) -> Any:
        if len(done) == 3:
            raise TeacherError("gone")
        done.append(given[0])
        return real(*given)

    planned = experiment(teacher={"kind": "fake"})
    monkeypatch.setattr(measuring, "revise_all", stopping)
    stopped = checkup(planned, Silent(), competence=True)
    assert stopped.competence is None
    assert [one.name for one in stopped.findings if one.found == "gone"] == ["competence"]
    (kept,) = (cache_folder() / "doctor").iterdir()
    assert any(kept.iterdir())
    monkeypatch.setattr(measuring, "revise_all", real)
    whole = checkup(planned, Silent(), competence=True).competence
    assert whole
    assert whole.modes == measure(planned, Silent()).modes
    assert not list((cache_folder() / "doctor").iterdir())


PRICED = {"kind": "fake", "seed": 5, "price": {"input": 1.0, "output": 2.0}}


def test_what_was_paid_for_is_not_bought_again() -> None:
    first, notes = measure(experiment(teacher=PRICED), Silent()), Notes()
    again = measure(experiment(teacher=PRICED), notes)
    assert first.spent.money > 0
    assert (again.spent.calls, again.spent.money) == (0, 0)
    assert (again.modes, again.advice) == (first.modes, first.advice)
    assert any("reused" in said for said in notes.said)


@pytest.mark.parametrize("cap", ["budget.money=0.001", "budget.calls=20", "budget.tokens=900"])
def test_what_may_pass_a_cap_is_refused_before_anything_is_asked(cap: str) -> None:
    found = checkup(experiment(cap, teacher=PRICED | {"seed": 6}), Silent(), competence=True)
    assert found.competence is None
    assert found.refused
    assert cap.partition(".")[2].partition("=")[0] in found.refused
    assert found.findings
    assert not (cache_folder() / "doctor").exists()


def test_the_cap_holds_while_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_refuse_above", lambda *_: None)
    planned = experiment("budget.calls=30", teacher=PRICED | {"seed": 7})
    with pytest.raises(RefusedError, match="calls: 30"):
        measure(planned, Silent())
    (kept,) = (cache_folder() / "doctor").iterdir()
    with Ledger(kept, write=False) as ledger:
        assert ledger.spent().calls == 30


def test_a_real_line_to_a_teacher_that_knows_nothing(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        settings = {"kind": "openai", "base_url": server.base_url, "model": "chaos", "channel": "batch"}
        found = checkup(experiment(teacher=settings), Silent(), competence=True, runs=tmp_path)
    assert found.preventing == []
    assert found.competence
    assert {mode.repaired.count for mode in found.competence.modes} == {0}
    assert found.competence.advice.judge is None
    plain = told(found)
    assert set(plain) == {"findings", "capabilities", "cost", "competence"}
    assert plain["competence"]["spent"]["calls"] > 26


def test_nothing_is_measured_where_a_run_is_impossible() -> None:
    with ChaosTeacher(faults={Fault.AUTH_EXPIRED: 1.0}) as server:
        settings = {"kind": "openai", "base_url": server.base_url, "model": "chaos"}
        found = checkup(experiment(teacher=settings), Silent(), competence=True)
        assert server.books.arrived == 1
    assert found.competence is None
    assert "authorised" in found.preventing


def share(count: int, n: int) -> Share:
    low, high = wilson(count, n)
    return Share(count=count, n=n, low=low, high=high)


@st.composite
def figures(draw: st.DrawFn) -> list[Figures]:
    return [
        Figures(
            judge=judge,
            repair=repair,
            found=share(0, 16),
            accepted=share(draw(st.integers(0, 10)), 10),
            repaired=share(draw(st.integers(0, 16)), 16),
            copied=share(0, 16),
            calls=1,
            tokens_in=draw(st.integers(0, 3)),
            tokens_out=0,
            outcomes={},
        )
        for judge, repair in draw(st.lists(st.sampled_from(EIGHT), unique=True))
    ]


@given(figures())
def test_the_advice_follows_its_rule(modes: Sequence[Figures]) -> None:
    advice = advise(modes)
    careful = [mode for mode in modes if mode.accepted.count >= 10 * ACCEPTED_LEVEL]
    if advice.judge is None:
        assert all(mode.repaired.count == 0 for mode in careful)
        return
    (best,) = [mode for mode in careful if (mode.judge, mode.repair) == (advice.judge, advice.repair)]
    for mode in careful:
        assert (mode.repaired.count, -mode.tokens) <= (best.repaired.count, -best.tokens)
        apart = mode.repaired.high < best.repaired.low
        assert mode is best or (mode.name in advice.alike) is not apart
    assert ("cannot be told apart" in advice.reason) is bool(advice.alike)
