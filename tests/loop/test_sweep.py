"""Arms x seeds from one file: ordinary runs, resumable, sharing what is the same, and compared at the end."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from loop_kit import history, problems
from test_cli import elad, write_rows
from typer.testing import CliRunner

from elad.cli import app
from elad.errors import ConfigError, TeacherError
from elad.experiment import Experiment
from elad.learning import Lesson
from elad.ledger.events import Kind, Ledger
from elad.ledger.reconcile import reconcile
from elad.loop import run
from elad.progress import Progress, Silent
from elad.report.status import status
from elad.students.fake import FakeStudent
from elad.sweep import Cell, Ended, read_sweep, sweep
from elad.testing import ChaosTeacher

ARMS: dict[str, Any] = {"elad": None, "random": {"selector": "random"}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sweep of two arms and two seeds, as a user would write it."""
    for name, seed, count in (("pool", 1, 24), ("heldout", 2, 10), ("warm", 3, 4)):
        rows = [
            {"id": p.id, "question": p.question, "answer": p.answer, "rationale": p.rationale}
            for p in problems(count, seed, name)
        ]
        write_rows(tmp_path / f"{name}.jsonl", rows)
    raw = {
        "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl", "warmup": "warm.jsonl"},
        "task": {"kind": "numeric"},
        "student": {"engine": "fake"},
        "teacher": {"kind": "fake"},
        "uncertainty": {"kind": "elad", "samples": 2},
        "reviser": {"kind": "first_error", "judge": "direct"},
        "rounds": {"count": 2, "questions": 5},
    }
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(raw))
    return write(tmp_path)


def write(folder: Path, **changes: Any) -> Path:
    raw = {"base": "base.yaml", "arms": ARMS, "seeds": [0, 1], "out": "runs/sweep"} | changes
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in raw.items() if value is not ...}, sort_keys=False))
    return path


def quietly(_cell: Cell, _place: int) -> Progress:
    return Silent()


def states(ended: list[Ended]) -> list[tuple[str, int, str]]:
    return [
        (one.cell.arm, one.cell.seed, "failed" if one.error else "ran" if one.fresh else "was finished")
        for one in ended
    ]


def test_each_cell_is_the_run_that_it_would_be_alone(file: Path, tmp_path: Path) -> None:
    cells = read_sweep(file)
    assert [(cell.arm, cell.seed) for cell in cells] == [("elad", 0), ("random", 0), ("elad", 1), ("random", 1)]
    ended = list(sweep(cells, quietly))
    assert [one.error for one in ended] == [None] * 4
    for cell in cells:
        assert cell.folder == tmp_path / "runs" / "sweep" / cell.arm / f"seed-{cell.seed}"
        changes = ["selector.kind=random"] if cell.arm == "random" else []
        overrides = [*changes, f"seed={cell.seed}", f"name={cell.arm}"]
        alone = tmp_path / "alone" / cell.arm / str(cell.seed)
        run(Experiment.load(tmp_path / "base.yaml", overrides), alone)
        assert history(cell.folder) == history(alone)
        with Ledger(cell.folder, write=False) as ledger:
            assert reconcile(ledger).problems == ()


def test_what_arms_of_a_seed_have_in_common_is_done_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    drafted: list[int] = []
    fit, generate = FakeStudent.fit, FakeStudent.generate

    def counting_fit(self: FakeStudent, examples: Any, *given: Any, **named: Any) -> Any:
        fitted.append(len(examples))
        return fit(self, examples, *given, **named)

    def counting_generate(self: FakeStudent, prompts: Any, *given: Any, **named: Any) -> Any:
        drafted.append(len(prompts))
        return generate(self, prompts, *given, **named)

    monkeypatch.setattr(FakeStudent, "fit", counting_fit)
    monkeypatch.setattr(FakeStudent, "generate", counting_generate)
    one, other = read_sweep(write(file.parent, seeds=[0]))
    list(sweep([one], quietly))
    assert fitted[0] == 4
    assert len(fitted) == 3
    fitted.clear()
    drafted.clear()
    list(sweep([one, other], quietly))
    assert len(fitted) == 2
    assert 4 not in fitted
    heldout, pool = 10, 24
    assert sum(drafted) == 2 * heldout + (pool - 5)


def test_a_cell_stands_alone_when_the_one_that_lent_to_it_is_gone(file: Path) -> None:
    one, other = read_sweep(write(file.parent, seeds=[0]))
    list(sweep([one, other], quietly))
    before = history(other.folder)
    shutil.rmtree(one.folder)
    run(other.experiment, other.folder)
    assert history(other.folder) == before
    assert not any(path.is_symlink() for path in other.folder.rglob("*"))


def test_a_first_cell_that_fails_lends_nothing_and_keeps_no_other_from_lending(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []
    fit = FakeStudent.fit

    def failing(self: FakeStudent, examples: Any, lesson: Lesson, **named: Any) -> Any:
        if lesson.training.epochs == 7:
            raise MemoryError("no room")
        fitted.append(len(examples))
        return fit(self, examples, lesson, **named)

    monkeypatch.setattr(FakeStudent, "fit", failing)
    arms = {"broken": {"training": {"epochs": 7}}, **ARMS}
    ended = list(sweep(read_sweep(write(file.parent, arms=arms, seeds=[0])), quietly))
    assert [state for *_, state in states(ended)] == ["failed", "ran", "ran"]
    assert fitted.count(4) == 1


def test_a_cell_that_cannot_be_read_is_told_and_passed_over(file: Path) -> None:
    class Notes(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    one, other = read_sweep(write(file.parent, seeds=[0]))
    list(sweep([one], quietly))
    (one.folder / "ledger.sqlite").write_bytes(b"spoilt" * 1000)
    ended = list(sweep([one, other], lambda cell, place: Notes()))
    assert [state for *_, state in states(ended)] == ["failed", "ran"]
    assert [text for text in said if "taken over" in text and str(one.folder) in text]


def test_a_student_that_two_arms_come_to_alike_is_trained_once_and_stands_in_both_folders(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []
    fit = FakeStudent.fit

    def counting(self: FakeStudent, examples: Any, *given: Any, **named: Any) -> Any:
        fitted.append(len(examples))
        return fit(self, examples, *given, **named)

    monkeypatch.setattr(FakeStudent, "fit", counting)
    arms = {"top": {}, "two_sided": {"selector": "two_sided"}}  # which is `top` until much is bought
    ended = list(sweep(read_sweep(write(file.parent, arms=arms, seeds=[0])), quietly))
    assert [one.error for one in ended] == [None, None]
    assert len(fitted) == 3
    shutil.rmtree(ended[0].cell.folder)
    other = ended[1].cell
    before = history(other.folder)
    run(other.experiment, other.folder)
    assert history(other.folder) == before


def test_a_student_left_half_copied_or_half_trained_is_made_anew(file: Path) -> None:
    one, other = read_sweep(write(file.parent, seeds=[0]))
    list(sweep([one], quietly))
    with Ledger(one.folder, write=False) as ledger:
        (first, *_) = ledger.events(Kind.TRAINING)
    for name in (first.payload["folder"], f"{first.payload['folder']}-half"):
        (other.folder / name).mkdir(parents=True)
        (other.folder / name / "spoilt").write_text("half")
    ended = list(sweep([one, other], quietly))
    assert [one.error for one in ended] == [None, None]
    assert not list(other.folder.rglob("spoilt"))


def test_what_an_arm_buys_does_not_depend_on_which_came_first(file: Path) -> None:
    """Both arms ask alike, and no more than the cap bears: neither goes on for its place in the file."""
    with ChaosTeacher() as server:
        teacher = {"kind": "openai", "base_url": server.base_url, "model": "m", "cache": True}
        same = {"teacher": teacher, "reviser": "rewrite", "budget": {"calls": 7}}
        arms = {"one": {"training": {"epochs": 1}, **same}, "other": {"training": {"epochs": 2}, **same}}
        ended = list(sweep(read_sweep(write(file.parent, arms=arms, seeds=[0])), quietly))
    assert [one.error for one in ended] == [None, None]
    told = [status(one.cell.folder) for one in ended]
    assert [row["reason"] for row in told] == ["budget reached: calls: 7"] * 2
    assert [row["outcomes"]["reply"] for row in told] == [{"ok": 7}] * 2
    assert sum(row["spent"]["calls"] for row in told) < 14
    assert [one.cached for one in ended] == [0, 7 - told[1]["spent"]["calls"]]
    for one in ended:
        with Ledger(one.cell.folder, write=False) as ledger:
            assert reconcile(ledger).problems == ()
            assert ledger.spent(as_bought=True).calls == 7


def test_what_is_finished_is_left_alone_and_the_rest_goes_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = read_sweep(file)
    seen: list[int] = []

    class Killed(BaseException):
        pass

    def dying(self: Ledger, kind: Kind, items: Any, *, round: int, beside: Any = ()) -> None:
        seen.append(round)
        if len(seen) == 130:
            raise Killed
        append(self, kind, items, round=round, beside=beside)

    append = Ledger.append
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "append", dying)
        with pytest.raises(Killed):
            list(sweep(cells, quietly))
    done = [cell for cell in cells if (cell.folder / "ledger.sqlite").exists()]
    assert 1 < len(done) < 4
    ended = list(sweep(cells, quietly))
    assert states(ended)[0] == ("elad", 0, "was finished")
    assert states(ended)[-1] == ("random", 1, "ran")
    assert {state for *_, state in states(list(sweep(cells, quietly)))} == {"was finished"}
    fresh = read_sweep(file, out=file.parent / "whole")
    list(sweep(fresh, quietly))
    for cell, other in zip(cells, fresh, strict=True):
        assert history(cell.folder) == history(other.folder)


def test_more_rounds_go_on_from_what_is_finished(file: Path) -> None:
    list(sweep(read_sweep(file), quietly))
    ended = list(sweep(read_sweep(file, ["rounds.count=3"]), quietly))
    assert {state for *_, state in states(ended)} == {"ran"}
    assert [row["questions"] for row in status(ended[0].cell.folder)["rounds"]] == [0, 5, 10, 15]


def test_a_cell_that_fails_does_not_keep_the_others(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    useless = {"teacher": {"kind": "fake", "faults": {"failed": 1.0}}, "rounds": {"questions": 12}}
    bad = {"elad": {}, "broken": useless, "random": ARMS["random"]}
    cells = read_sweep(write(file.parent, arms=bad))
    ended = list(sweep(cells, quietly))
    assert [state for *_, state in states(ended)] == ["ran", "failed", "ran"] * 2
    assert isinstance(ended[1].error, TeacherError)

    def full(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(FakeStudent, "fit", full)
    ended = list(sweep(read_sweep(write(file.parent), out=file.parent / "other"), quietly))
    assert [type(one.error) for one in ended] == [MemoryError] * 4


def test_the_changes_of_an_arm_go_into_sections_and_replace_strategies(file: Path) -> None:
    arms = {
        "a": {"training": {"epochs": 1}, "rounds": {"questions": 6}},
        "b": {"uncertainty": {"kind": "entropy"}, "selector": {"kind": "top"}},
        "c": {"uncertainty": {"samples": 7}},
    }
    a, b, c = (cell.experiment for cell in read_sweep(write(file.parent, arms=arms, seeds=[3])))
    assert (a.training.epochs, a.training.learning_rate, a.rounds.questions, a.rounds.count) == (1, 1e-3, 6, 2)
    assert b.resolved()["uncertainty"]["kind"] == "entropy"
    assert c.resolved()["uncertainty"] == a.resolved()["uncertainty"] | {"samples": 7}
    assert (a.seed, a.name, c.name) == (3, "a", "c")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"armz": {}}, "armz: unknown key; did you mean 'arms'?"),
        ({"arms": ...}, "arms: Field required"),
        ({"arms": {}}, "arms: "),
        ({"arms": {"a": 5}}, "arms.a: "),
        ({"arms": {"a": {"selektor": "top"}}}, "arms.a: selektor: unknown key; did you mean 'selector'?"),
        (
            {"arms": {"a": {"selector": "rnadom"}}},
            "arms.a: selector.kind: unknown kind 'rnadom'; did you mean 'random'?",
        ),
        ({"arms": {"a": {"rounds": {"cuont": 1}}}}, "arms.a: rounds.cuont: unknown key; did you mean 'count'?"),
        ({"arms": {"a": {"seed": 3}}}, "arms.a.seed: is given by `seeds`; leave it out"),
        ({"arms": {"a": {"name": "x"}}}, "arms.a.name: is given by the arm's name; leave it out"),
        ({"arms": {"../a": {}}}, "arms.../a: name: must be a plain name"),
        ({"arms": {"a": {}, "b": {}}}, "arms.b: does the same as a"),
        ({"seeds": [0, 0]}, "seeds: the same seed twice"),
        ({"seeds": []}, "seeds: "),
        ({"seeds": 3}, "seeds: "),
        ({"seeds": [0, True]}, "seeds.1: "),
        ({"base": "bsae.yaml"}, "base: "),
        ({"base": "eald"}, "base: eald: no such file, and no method of that name; did you mean 'elad'?"),
    ],
)
def test_a_bad_file_is_told_by_file_and_key(file: Path, changes: dict[str, Any], told: str) -> None:
    path = write(file.parent, **changes)
    with pytest.raises(ConfigError) as caught:
        read_sweep(path)
    assert str(caught.value).startswith(f"{path}: {told}")


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        read_sweep(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match=r"list\.yaml: expected a mapping"):
        read_sweep(tmp_path / "list.yaml")


def test_a_base_may_be_a_method(tmp_path: Path) -> None:
    (cell, _) = read_sweep(write(tmp_path, base="elad", seeds=[0]))
    assert cell.experiment.name == "elad"
    assert cell.experiment.rounds.count == 2


def test_the_verb_tells_what_became_of_each_cell_and_compares(file: Path) -> None:
    done = elad("sweep", "sweep.yaml", "--json", cwd=file.parent)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["state"] for row in told["cells"]] == ["finished"] * 4
    folders = [row["folder"] for row in told["cells"]]
    compared = json.loads(elad("compare", *folders, "--json", cwd=file.parent).stdout)
    assert told["comparison"] | {"plot": None} == compared | {"plot": None}
    assert {row["name"] for row in told["comparison"]["arms"]} == {"elad", "random"}
    shown = elad("sweep", "sweep.yaml", cwd=file.parent)
    assert shown.stdout.count("was finished") == 4
    assert compared["sentence"][:50] in shown.stdout


def test_a_failure_is_the_exit_status_and_is_told_at_the_end(file: Path) -> None:
    path = write(file.parent, seeds=[0], arms=ARMS | {"broken": {"teacher": {"kind": "recorded"}}})
    result = CliRunner().invoke(app, ["sweep", str(path), "--json"])
    assert result.exit_code == 3
    assert "1 of 3 cells failed" in result.stderr
    told = json.loads(result.stdout)
    assert [row["state"] for row in told["cells"]] == ["finished", "finished", "failed"]
    assert "serves" in told["cells"][2]["reason"]
    assert told["comparison"]["seeds"] == 1
    alone = CliRunner().invoke(app, ["sweep", str(write(file.parent, seeds=[0], arms={"elad": {}})), "--json"])
    assert alone.exit_code == 0
    assert "at least two runs" in json.loads(alone.stdout)["not_compared"]


def test_a_plot_that_fails_does_not_fail_a_sweep(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no fonts")

    monkeypatch.setattr("elad.report.plots.plot", broken)
    result = CliRunner().invoke(app, ["sweep", str(write(file.parent, seeds=[0])), "--json"])
    assert (result.exit_code, "no fonts" in result.stderr) == (0, True)
    comparison = json.loads(result.stdout)["comparison"]
    assert (comparison["plot"], comparison["seeds"]) == (None, 1)


def test_ctrl_c_says_how_to_go_on_and_no_cell_is_begun_after_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FakeStudent, "fit", interrupted)
        result = CliRunner().invoke(app, ["sweep", str(file)])
    assert result.exit_code == 130
    assert "run the same command again to go on" in result.stderr
    assert [path.parent.name for path in (file.parent / "runs" / "sweep").glob("*/seed-*")] == ["elad"]
    assert CliRunner().invoke(app, ["sweep", str(file)]).exit_code == 0
