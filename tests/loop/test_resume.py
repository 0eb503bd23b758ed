"""Killed anywhere, a run goes on and ends as if nothing had happened."""

import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from loop_kit import experiment, history, problems

from elad.errors import RunFolderError
from elad.experiment import Data
from elad.interrupt import Stopped
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.progress import Advance, Silent
from elad.records import StepScores
from elad.report.status import status
from elad.students.fake import FakeStudent
from elad.uncertainty.beliefs import Draft
from elad.uncertainty.elad import Elad

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from loop_kit import experiment
from elad.ledger.events import Kind, Ledger
from elad.loop import run

left, before_commit = int(sys.argv[2]), sys.argv[3] == "before"
append = Ledger.append

def dying_append(self, kind, items, *, round, beside=()):
    global left
    left -= kind is not Kind.STAGE
    if left == 0 and before_commit:
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, kind, items, round=round, beside=beside)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

Ledger.append = dying_append
run(experiment(), Path(sys.argv[1]))
"""


KILLED_IN_FIT = """
import os, signal, sys
from pathlib import Path
from loop_kit import experiment
from elad.loop import run
from elad.students.fake import FakeStudent

left, when = int(sys.argv[2]), sys.argv[3]
fit = FakeStudent.fit

def dying_fit(self, *given, folder, progress, **named):
    global left
    left -= 1
    if left == 0 and when == "in training":
        progress(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    fitted = fit(self, *given, folder=folder, progress=progress, **named)
    if left == 0:
        for file in folder.iterdir():
            if when == "in a file":
                os.truncate(file, file.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    return fitted

FakeStudent.fit = dying_fit
run(experiment(), Path(sys.argv[1]))
"""


def killed(folder: Path, count: int, when: str, script: str = KILLED_AT) -> bool:
    """Runs in a process of its own that kills itself at an append, or in a `fit`; whether it came to that."""
    arguments = [sys.executable, "-c", script, str(folder), str(count), when]
    done = subprocess.run(arguments, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(experiment(), folder)
    return folder


def appends_of(folder: Path) -> int:
    with Ledger(folder, write=False) as ledger:
        # A stage is written down only where it took long enough: that differs from run to run.
        return len({event.at for event in ledger.events() if event.kind is not Kind.STAGE})


def test_killed_at_ten_moments_the_ledger_is_the_same(whole: Path, tmp_path: Path) -> None:
    rng = Random(0)
    total = appends_of(whole)
    for moment in range(10):
        folder = tmp_path / str(moment)
        at = rng.randint(1, total - 1)
        assert killed(folder, at, rng.choice(["before", "after"]))
        assert not (folder / "ledger.sqlite").exists() or status(folder)["state"] == "stopped"
        run(experiment(), folder)
        assert history(folder) == history(whole)
        assert no_request_is_answered_twice(folder)


def test_killed_again_and_again_in_one_folder(whole: Path, tmp_path: Path) -> None:
    kills = 0
    while killed(tmp_path, 7, "after"):
        kills += 1
        assert kills < 100
    assert kills > 3
    assert history(tmp_path) == history(whole)


@pytest.mark.parametrize("fit", [1, 2, 3], ids=["warm-up", "round 1", "round 2"])
@pytest.mark.parametrize("when", ["in training", "in a file", "before it is told"])
def test_killed_while_a_student_is_trained_or_saved(whole: Path, tmp_path: Path, fit: int, when: str) -> None:
    assert killed(tmp_path, fit, when, KILLED_IN_FIT)
    with Ledger(tmp_path, write=False) as ledger:
        assert sum(1 for _ in ledger.events(Kind.TRAINING)) == fit - 1
    run(experiment(), tmp_path)
    assert history(tmp_path) == history(whole)
    assert no_request_is_answered_twice(tmp_path)


def test_what_was_drafted_and_scored_before_an_interruption_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a pool of two and a half chunks: neither its end nor the display waits for all of it."""
    given = experiment("rounds.count=1", data=Data(pool=problems(80, 1, "p"), heldout=problems(4, 2, "h")))
    done, makes = list[int](), list[int]()

    class Watched(Silent):
        @contextmanager
        def stage(self, round: int, name: str, total: int) -> Generator[Advance]:
            yield done.append if name == "draft, score" else lambda _: None

    measure = Elad.__call__

    def interrupted(self: Elad, drafts: Sequence[Draft], *rest: Any) -> list[StepScores]:
        makes.append(len(drafts))
        if len(makes) == 2:
            raise Stopped
        return measure(self, drafts, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Elad, "__call__", interrupted)
        with pytest.raises(Stopped):
            run(given, tmp_path / "half", Watched())
    assert (done, makes) == ([32], [32, 32])
    with Ledger(tmp_path / "half", write=False) as ledger:
        assert [sum(1 for _ in ledger.events(kind)) for kind in (Kind.DRAFT, Kind.SCORE)] == [32, 32]
    run(given, tmp_path / "half", Watched())
    assert done == [32, 32, 32, 16]
    run(given, tmp_path / "whole")
    assert history(tmp_path / "half") == history(tmp_path / "whole")


def no_request_is_answered_twice(folder: Path) -> bool:
    with Ledger(folder, write=False) as ledger:
        asked = [event.key.removesuffix("#0") for event in ledger.events(Kind.REQUEST)]
        told = [event.key for event in ledger.events(Kind.REPLY)]
    return len(set(asked)) == len(asked) and sorted(asked) == sorted(told)


def test_a_run_does_not_go_on_with_other_weights_or_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(experiment("rounds.count=1"), tmp_path)
    before = history(tmp_path)
    monkeypatch.setattr(FakeStudent, "id", property(lambda self: "another"))
    with pytest.raises(RunFolderError, match=r"student: '.*' -> 'another'"):
        run(experiment("rounds.count=2"), tmp_path)
    assert history(tmp_path) == before
