"""`elad compare` on runs of the loop: what it says, what it refuses, and what it draws."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, problems
from test_cli import elad
from typer.testing import CliRunner

from elad.cli import app
from elad.errors import InputError, RunFolderError
from elad.experiment import Data
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.report.compare import compare, judged
from elad.report.plots import MOST_ARMS, caption, looks, missing, plot
from elad.report.status import status
from elad.report.verdict import arms_table, remarks, saving_table, sentence

PRICE = {"input": 0.15, "output": 0.6, "currency": "USD", "per": 1000000}
DATA = Data(pool=problems(60, 1, "p"), heldout=problems(40, 2, "h"), warmup=problems(4, 3, "w"))
ARMS: dict[str, dict[str, Any]] = {
    "elad": {"teacher": {"kind": "fake", "price": PRICE}},
    "random": {
        "selector": {"kind": "random"},
        "reviser": {"kind": "rewrite"},
        "teacher": {"kind": "fake", "price": PRICE, "faults": {"wrong_end": 0.7}},
    },
}


def made(folder: Path, name: str, seed: int, *overrides: str, **sections: Any) -> Path:
    plan = experiment(*overrides, name=name, seed=seed, data=DATA, **(ARMS.get(name, {}) | sections))
    run(plan, folder)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("runs")
    for name in ARMS:
        for seed in range(3):
            made(home / f"{name}-{seed}", name, seed)
    return home


def folders(home: Path, *seeds: int) -> list[Path]:
    return [home / f"{name}-{seed}" for name in ("elad", "random") for seed in seeds]


def told_of(found: dict[str, Any]) -> str:
    return " ".join([sentence(found), *remarks(found)])


def test_the_answer_has_the_promised_shape(runs: Path) -> None:
    found, _ = compare(folders(runs, 0, 1, 2))
    assert found["verdict"] in ("saves", "costs", "no measurable saving")
    assert found["seeds"] == 3
    assert (found["arm"], found["reference"], found["by"], found["heldout"]) == ("elad", "random", "tokens_out", 40)
    for name in ("saving_tokens", "saving_tokens_in", "saving_questions", "saving_money", "auc_difference"):
        assert {"value", "low", "high"} <= found[name].keys()
    assert json.loads(json.dumps(found)) == found
    for row in found["arms"]:
        spent = [status(Path(folder))["spent"] for folder in row["folders"]]
        assert row["tokens_out"] == pytest.approx(sum(one["tokens_out"] for one in spent) / 3)
        assert row["money"] == pytest.approx(sum(one["money"] for one in spent) / 3)


def test_the_curves_are_those_of_the_rounds(runs: Path) -> None:
    _, arms = compare(folders(runs, 0, 1))
    for arm in arms:
        for read in arm.runs:
            told = status(read.folder)
            rounds = told["rounds"]
            assert read.state == f"{told['state']}: {told['reason']}"
            assert read.curve.accuracies == pytest.approx([row["accuracy"] for row in rounds])
            assert read.curve.costs["questions"] == tuple(row["questions"] for row in rounds)


def test_two_copies_of_a_run_save_nothing(runs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(runs / "elad-0", tmp_path / "copy"))
    found, arms = compare([runs / "elad-0", copy])
    assert [arm.name for arm in arms] == ["elad", "elad (copy 1)"]
    assert found["verdict"] == "no measurable saving"
    assert [found["saving_tokens"][key] for key in ("value", "low", "high")] == [0, 0, 0]
    assert "the same in every answer" in sentence(found)
    assert compare([runs / "elad-0", runs / "elad-0"])[0]["verdict"] == "no measurable saving"


def test_one_seed_says_what_it_cannot_say(runs: Path) -> None:
    found, _ = compare(folders(runs, 0))
    assert found["verdict"] == "not enough seeds"
    assert (found["saving_tokens"]["low"], found["saving_tokens"]["high"], found["auc_difference"]["low"]) == (
        None,
    ) * 3
    assert "cannot tell the method from the luck of its seed" in told_of(found)
    assert "two seeds tell only" in told_of(compare(folders(runs, 0, 1))[0])


def test_the_order_of_the_folders_does_not_matter(runs: Path) -> None:
    ordered, turned = (compare(list(found))[0] for found in (folders(runs, 0, 1), reversed(folders(runs, 0, 1))))
    assert {k: v for k, v in ordered.items() if k != "arms"} == {k: v for k, v in turned.items() if k != "arms"}


def test_seeds_of_one_arm_alone_are_left_out_and_told(runs: Path) -> None:
    found, _ = compare([*folders(runs, 0, 1), runs / "elad-2"])
    assert (found["seeds"], found["unpaired_seeds"]) == (2, [2])
    assert "seeds 2" in told_of(found)
    with pytest.raises(RunFolderError, match="no seed in common"):
        compare([runs / "elad-0", runs / "random-1"])


def test_an_arm_that_cannot_be_compared_does_not_keep_the_others(runs: Path, tmp_path: Path) -> None:
    other = made(tmp_path / "other", "other", 7, "uncertainty.samples=3")
    found, _ = compare([other, *folders(runs, 0, 1)])
    assert [one["arm"] for one in found["comparisons"]] == ["elad"]
    assert found["left_out"] == ["other and random have no seed in common: runs are compared seed by seed"]


def test_an_accuracy_of_ones_own(runs: Path) -> None:
    found, _ = compare(folders(runs, 0, 1), 0.99)
    assert found["saving_tokens"]["reference"] == "never reached"
    assert found["saving_tokens"]["value"] is None
    assert "never reached 99.0%" in told_of(found)
    for bad in (0.0, -1.0, 41.0):
        with pytest.raises(InputError, match="--to-accuracy"):
            compare(folders(runs, 0), bad)


def test_without_tokens_the_questions_decide(tmp_path: Path) -> None:
    free = {"teacher": {"kind": "reference"}}
    one = made(tmp_path / "one", "one", 0, **free)
    other = made(tmp_path / "other", "other", 0, **free, selector={"kind": "random"})
    found, _ = compare([one, other])
    assert (found["by"], found["saving_tokens"]) == ("questions", None)
    assert "the verdict goes by questions" in told_of(found)


def test_what_cannot_be_compared_is_refused_by_name(runs: Path, tmp_path: Path) -> None:
    def refused(words: str, *overrides: str, **sections: Any) -> None:
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        other = tmp_path / "other"
        run(experiment(*overrides, name="other", **({"data": DATA} | ARMS["elad"] | sections)), other)
        with pytest.raises(RunFolderError, match=words):
            compare([runs / "elad-0", other])

    few = Data(pool=DATA.pool, heldout=DATA.heldout[:-1], warmup=DATA.warmup)
    refused("data.heldout: other held-out questions", data=few)
    refused(r"student\.skill: 0\.3 and 0\.5", "student.skill=0.5")
    euros = {"kind": "fake", "price": PRICE | {"currency": "EUR"}}
    refused("money is in USD and in EUR", teacher=euros)
    with pytest.raises(RunFolderError, match="all runs are of one configuration"):
        compare([runs / "elad-0", runs / "elad-1"])
    copy = Path(shutil.copytree(runs / "elad-0", tmp_path / "copy"))
    with pytest.raises(RunFolderError, match="the same configuration and seed twice"):
        compare([*folders(runs, 0), copy])
    with pytest.raises(InputError, match="at least two runs"):
        compare([runs / "elad-0"])
    with pytest.raises(RunFolderError, match="not a run folder"):
        compare([runs / "elad-0", tmp_path / "none"])


@pytest.mark.parametrize("name", ["elad", "random"])
def test_runs_of_another_base_student_are_refused(runs: Path, tmp_path: Path, name: str) -> None:
    """As by `dtype: auto` on two machines: the settings are alike, weights or numbers are not."""
    other = Path(shutil.copytree(runs / f"{name}-1", tmp_path / "other"))
    with Ledger(other, write=True) as ledger:
        identity = json.loads(ledger.meta("identity") or "")
        changed = json.dumps(identity | {"student": "f00d-float32"})
        ledger._db.execute("UPDATE meta SET value = ? WHERE name = 'identity'", (changed,))
    words = rf"student: other untrained weights or numbers \({identity['student']} and f00d-float32\)$"
    with pytest.raises(RunFolderError, match=words):
        compare([runs / "elad-0", runs / "random-0", other])


def test_an_arm_alone_has_nothing_to_be_compared_with(runs: Path, tmp_path: Path) -> None:
    done = elad("compare", str(runs / "elad-0"), str(runs / "elad-1"), cwd=tmp_path)
    assert (done.returncode, "nothing to compare" in done.stderr) == (2, True), done.stderr
    _, arms = compare(folders(runs, 0))
    for few in (arms[:1], []):
        with pytest.raises(RunFolderError, match="nothing to compare with: expected the runs of two arms, got "):
            judged(few)


def test_a_run_without_a_round_is_refused(runs: Path, tmp_path: Path) -> None:
    empty = made(tmp_path / "empty", "random", 0, "budget.questions=0")
    with pytest.raises(RunFolderError, match="no round after the baseline"):
        compare([runs / "elad-0", empty])


def test_arms_without_telling_names_are_called_by_what_differs(tmp_path: Path) -> None:
    two = [made(tmp_path / kind, "same", 0, selector={"kind": kind}) for kind in ("top", "random")]
    assert [arm.name for arm in compare(two)[1]] == ["top", "random"]


def test_a_round_that_was_done_again_counts_once(tmp_path: Path) -> None:
    """Under a cap, then without it: the last state of a round is the one that counts."""
    capped = made(tmp_path / "run", "random", 0, "budget.calls=11")
    made(capped, "random", 0)
    whole = made(tmp_path / "whole", "random", 0)
    first, second = (arm.runs[0].curve for arm in compare([capped, whole])[1])
    assert first.right == second.right
    assert first.costs["questions"] == second.costs["questions"]


def test_a_reply_from_the_cache_is_priced_by_who_bought_it(runs: Path, tmp_path: Path) -> None:
    def cached(name: str, *, original: bool = False) -> Path:
        folder = Path(shutil.copytree(runs / name, tmp_path / f"{name}-cached-{original}"))
        with Ledger(folder, write=True) as ledger:
            kept = "'$.original', json_extract(payload, '$.charge'), " if original else ""
            free = f"json_set(payload, {kept}'$.cached', json('true'), '$.charge', json('{{\"calls\": 0}}'))"
            ledger._db.execute(f"UPDATE events SET payload = {free} WHERE kind = ?", (Kind.REPLY,))
            for event in list(ledger.events(Kind.ROUND)):
                charge = json.dumps({"calls": 0})
                query = "UPDATE events SET payload = json_set(payload, '$.charge', json(?)) WHERE seq = ?"
                ledger._db.execute(query, (charge, event.seq))
        return folder

    free = cached("elad-0")
    with pytest.raises(RunFolderError, match="took replies from the cache"):
        compare([free, runs / "random-0"])
    found, (_, arm) = compare([runs / "elad-0", free])
    assert arm.runs[0].curve.costs["tokens_out"][-1] > 0
    assert found["saving_tokens"]["value"] == 0
    told, _ = compare([cached("elad-0", original=True), runs / "random-0"])
    plain, _ = compare([runs / "elad-0", runs / "random-0"])
    assert told["saving_tokens"] == plain["saving_tokens"]


def test_from_the_command_line(runs: Path, tmp_path: Path) -> None:
    words = [str(folder) for folder in folders(runs, 0, 1, 2)]
    done = elad("compare", *words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["sentence"] == sentence(found)
    shown = elad("compare", *words, cwd=tmp_path)
    assert found["sentence"][:60] in shown.stdout
    assert "output tokens" in shown.stdout
    if missing():
        assert (found["plot"], "pip install 'elad[plot]'" in done.stderr) == (None, True)
        asked = elad("compare", *words, "--out", "mine.svg", cwd=tmp_path)
        assert (asked.returncode, "pip install 'elad[plot]'" in asked.stderr) == (2, True)
    else:
        assert (tmp_path / found["plot"]).read_text().startswith("<?xml")


def test_a_plot_that_fails_comes_after_what_was_found(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no fonts")

    monkeypatch.setattr("elad.report.plots.plot", broken)
    words = ["compare", *map(str, folders(runs, 0, 1))]
    shown = CliRunner().invoke(app, words)
    assert (shown.exit_code, "40 held-out questions" in shown.stdout) == (0, True)
    assert "no plot was written: compare.svg: RuntimeError: no fonts" in shown.stderr
    asked = CliRunner().invoke(app, [*words, "--out", "mine.svg", "--json"])
    assert (asked.exit_code, json.loads(asked.stdout)["plot"]) == (2, None)


def test_the_tables_hold_every_arm_and_cost(runs: Path) -> None:
    found, _ = compare(folders(runs, 0, 1))
    assert arms_table(found).row_count == 2
    assert saving_table(found).row_count == 4


@pytest.mark.parametrize("count", [1, 5, 6, 13, MOST_ARMS])
def test_each_arm_of_a_plot_looks_like_no_other(count: int) -> None:
    found = looks(count)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert len({(look[one], look[other]) for look in found}) == count
    for alone in range(3):
        assert len({look[alone] for look in found}) == min(count, 5)


def test_more_arms_than_a_plot_tells_apart_are_refused(runs: Path, tmp_path: Path) -> None:
    found, arms = compare(folders(runs, 0))
    with pytest.raises(InputError, match=f"tells {MOST_ARMS} arms apart, not {MOST_ARMS + 1}"):
        plot(found, [arms[0]] * (MOST_ARMS + 1), tmp_path / "many.svg")


def test_the_plot_is_the_same_each_time_and_says_what_it_shows(runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found, arms = compare(folders(runs, 0, 1, 2))
    for name in ("a.svg", "b.svg"):
        plot(found, arms, tmp_path / name)
    assert "too narrow with few seeds" in caption(found)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    with pytest.raises(InputError, match="cannot be written"):
        plot(found, arms, tmp_path / "none" / "a.svg")
    with pytest.raises(InputError, match="cannot be written"):
        plot(found, arms, tmp_path / "a.docx")
