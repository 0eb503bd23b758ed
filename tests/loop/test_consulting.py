"""A reviser asks the student: in ways of its own, all that is alike together, and the same after a kill."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from consult_kit import Consulting
from loop_kit import experiment, history, problems

from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.plan.rehearsal import rehearse
from elad.protocols import Generation, Prompt
from elad.records import Sampling, from_json
from elad.stages import consulting
from elad.students.fake import FakeStudent


def told_in(folder: Path, kind: Kind) -> list[Any]:
    with Ledger(folder, write=False) as ledger:
        return [event.payload for event in ledger.events(kind)]


def test_each_ask_is_drawn_as_it_says_and_a_bare_prompt_as_the_run_drafts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[float, int]] = []
    generate = FakeStudent.generate

    def counted(self: FakeStudent, prompts: Sequence[Prompt], sampling: Sampling, until: Any = None) -> Any:
        calls.append((sampling.temperature, len(prompts)))
        return generate(self, prompts, sampling, until)

    monkeypatch.setattr(FakeStudent, "generate", counted)
    run(experiment("rounds.count=1", reviser=Consulting(), selector={"kind": "random"}), tmp_path)
    asked = [call for call in calls if call[0] > 0]
    assert sorted(asked) == [(0.5, 16), (1.0, 16)]  # two prompts for each of eight questions
    assert (0.0, 8) in calls
    said = [from_json(Generation, payload) for payload in told_in(tmp_path, Kind.CONTINUATION)]
    assert len(said) == 40
    weighed = told_in(tmp_path, Kind.WEIGHING)
    assert len(weighed) == 8
    assert all(value < 0 for options in weighed for option in options for value in option)


def test_other_ways_of_drawing_are_other_work(tmp_path: Path) -> None:
    for name, hot in (("a", 1.0), ("b", 2.0)):
        run(experiment("rounds.count=1", reviser=Consulting(hot=hot)), tmp_path / name)
    one, other = ({key for key in history(tmp_path / name) if key.startswith("continuation/")} for name in "ab")
    assert len(one) == len(other) == 40
    assert len(one & other) == 24


class Killed(BaseException):
    """What ends a session at once."""


def killing(append: Callable[..., None], left: int) -> Callable[..., None]:
    def dying(self: Ledger, kind: Kind, items: Any, **named: Any) -> None:
        nonlocal left
        left -= kind in (Kind.CONTINUATION, Kind.WEIGHING, Kind.REVISION)
        if left == 0:
            raise Killed
        append(self, kind, items, **named)

    return dying


def test_killed_at_any_chunk_or_revision_it_goes_on_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consulting, "CHUNK", 5)
    few = ("rounds.count=1", "rounds.questions=3", "data.limit.pool=3", "data.limit.heldout=2")
    mine = experiment(*few, reviser=Consulting(), selector={"kind": "random"})
    run(mine, tmp_path / "whole")
    whole = history(tmp_path / "whole")
    moments = 0
    while True:
        moments += 1
        folder = tmp_path / str(moments)
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "append", killing(Ledger.append, moments))
            try:
                run(mine, folder)
            except Killed:
                assert history(folder).items() < whole.items()
            else:
                break
        run(mine, folder)
        assert history(folder) == whole
    assert moments == 1 + 5 + 1 + 3  # chunks of samples, of weighings, and the revisions


@pytest.mark.parametrize("drafted", [True, False])
def test_a_plan_rehearses_what_is_asked_of_the_student(drafted: bool) -> None:
    mine = experiment(reviser=Consulting())
    student = mine.student.open() if drafted else None
    told = rehearse(mine, problems(3, 1, "p"), student)
    assert [charge.calls for charge in told.good] == [0, 0, 0]
