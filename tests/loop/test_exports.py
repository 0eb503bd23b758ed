"""What was bought, in the forms that other tools take: its rows say what they should, and those tools read them."""

import importlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from loop_kit import experiment, problems

from elad.errors import InputError
from elad.experiment import Data
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.records import Revision, from_json
from elad.report.export import FORMATS, default_place, export

TRL = ("messages", "preference", "stepwise")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a control, whose teacher refuses now and then."""
    folder = tmp_path_factory.mktemp("done")
    teacher = {"kind": "fake", "price": {"input": 1.0, "output": 3.0}, "faults": {"refused": 0.1}}
    data = Data(pool=problems(40, 1, "p"), heldout=problems(8, 2, "h"), warmup=problems(4, 3, "w"))
    run(experiment("control.share=0.25", data=data, teacher=teacher, rounds={"count": 3, "questions": 12}), folder)
    return folder


def lines(folder: Path, to: str, target: Path) -> list[dict[str, Any]]:
    """The rows of an export in JSON Lines."""
    count = export(folder, to, target)
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == count > 0
    return rows


def revisions(folder: Path) -> dict[tuple[str, str], Revision]:
    """By arm and problem."""
    with Ledger(folder, write=False) as ledger:
        found = [(event.arm, from_json(Revision, event.payload)) for event in ledger.events(Kind.REVISION)]
    return {(arm, revision.problem_id): revision for arm, revision in found}


def bought(folder: Path) -> int:
    """How many revisions there are; two arms may share one."""
    with Ledger(folder, write=False) as ledger:
        return len({event.key for event in ledger.events(Kind.REVISION)})


def test_both_answers_of_a_pair_begin_with_the_accepted_steps_and_part_at_the_first_wrong_one(
    done: Path, tmp_path: Path
) -> None:
    some = False
    for row in lines(done, "preference", tmp_path / "rows"):
        (chosen,), (rejected,) = row["chosen"], row["rejected"]
        accepted = row["accepted"]
        assert chosen["role"] == rejected["role"] == "assistant"
        assert [turn["role"] for turn in row["prompt"]] == ["system", "user"]
        for answer, step in ((chosen, row["repaired_step"]), (rejected, row["wrong_step"])):
            assert answer["content"].startswith(accepted)
            assert answer["content"][len(accepted) :].lstrip().startswith(step)
        assert row["repaired_step"] != row["wrong_step"]
        of = revisions(done)[row["provenance"]["arm"], row["provenance"]["problem_id"]]
        assert (chosen["content"], rejected["content"]) == (of.after, of.before.rstrip())
        some = some or bool(accepted)
    assert some


def test_no_step_is_labelled_by_a_verdict_that_led_to_nothing(done: Path, tmp_path: Path) -> None:
    rows = lines(done, "stepwise", tmp_path / "rows")
    assert {row["provenance"]["outcome"] for row in rows} <= {"accepted", "repaired", "rewritten"}
    for row in rows:
        wrong = row["provenance"]["first_error"]
        assert row["labels"] == [place != wrong for place in range(len(row["labels"]))]
        assert len(row["completions"]) == len(row["labels"])
        assert all(row["completions"])


@pytest.mark.parametrize("to", TRL)
def test_each_row_tells_where_it_comes_from(done: Path, tmp_path: Path, to: str) -> None:
    rows = lines(done, to, tmp_path / "rows")
    told = [row["provenance"] for row in rows]
    assert {one["arm"] for one in told} == {"main", "control"}
    assert {one["run"] for one in told} == {"fake"}
    assert len({one["teacher"] for one in told}) == 1
    assert all((one["score"] is None) == (one["arm"] == "control") for one in told)
    assert all(one["charge"]["money"] > 0 for one in told)
    assert all(one["requests"] for one in told)
    assert len({(one["arm"], one["problem_id"]) for one in told}) == len(rows)


def test_the_rows_are_in_the_order_of_the_picks(done: Path, tmp_path: Path) -> None:
    with Ledger(done, write=False) as ledger:
        picked = [(event.arm, event.payload["problem_id"]) for event in ledger.events(Kind.PICK)]
    rows = lines(done, "messages", tmp_path / "rows")
    places = [picked.index((row["provenance"]["arm"], row["provenance"]["problem_id"])) for row in rows]
    assert places == sorted(places)


def test_parquet_has_every_revision_whatever_became_of_it(done: Path, tmp_path: Path) -> None:
    assert export(done, "parquet", tmp_path / "all.parquet") == bought(done) < len(revisions(done))
    rows = pq.read_table(tmp_path / "all.parquet").to_pylist()
    assert len(rows) == bought(done)
    outcomes = {row["provenance"]["outcome"] for row in rows}
    assert outcomes > {"repaired"}
    for row in rows:
        of = revisions(done)[row["provenance"]["arm"], row["provenance"]["problem_id"]]
        assert (row["before"], row["after"], row["edit"]) == (of.before, of.after, of.edit)
        assert row["verdicts"] == [verdict.value for verdict in of.verdicts]
        assert (row["messages"] is None) == (not of.outcome.trainable)


def columns(value: object) -> object:
    """The names in a value, all the way down."""
    if isinstance(value, dict):
        return {name: columns(inner) for name, inner in value.items()}
    return [columns(value[0])] if isinstance(value, list) and value else None


def test_the_tables_have_all_columns_of_the_rows(done: Path, tmp_path: Path) -> None:
    export(done, "datasets", tmp_path / "set")
    for to in TRL:
        rows = lines(done, to, tmp_path / to)
        assert columns(pq.read_table(tmp_path / "set" / f"{to}.parquet").to_pylist()[0]) == columns(rows[0])
        assert pq.read_table(tmp_path / "set" / f"{to}.parquet").to_pylist() == rows


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datasets.load_dataset`, with a cache of its own and no network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs the extra `train`")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return lambda *words, **named: datasets.load_dataset(
        *words, split="train", cache_dir=str(tmp_path / "cache"), **named
    )


@pytest.mark.parametrize("to", TRL)
def test_load_dataset_reads_lines_and_folder_alike(done: Path, tmp_path: Path, load: Any, to: str) -> None:
    rows = lines(done, to, tmp_path / f"{to}.jsonl")
    export(done, "datasets", tmp_path / "set")
    assert load("json", data_files=str(tmp_path / f"{to}.jsonl")).to_list() == rows
    assert load(str(tmp_path / "set"), to).to_list() == rows


def test_load_dataset_reads_the_table_of_all_revisions(done: Path, tmp_path: Path, load: Any) -> None:
    count = export(done, "parquet", tmp_path / "all.parquet")
    assert len(load("parquet", data_files=str(tmp_path / "all.parquet"))) == count


def test_a_shape_without_rows_is_no_configuration(tmp_path: Path, load: Any) -> None:
    run(experiment(reviser={"kind": "rewrite"}), tmp_path / "run")
    count = export(tmp_path / "run", "datasets", tmp_path / "set")
    card = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    configs = yaml.safe_load(card.split("---")[1])["configs"]
    assert [one["config_name"] for one in configs] == ["messages"]
    assert not (tmp_path / "set" / "stepwise.parquet").exists()
    assert len(load(str(tmp_path / "set"), "messages")) == count


def test_the_card_of_a_data_set_says_what_is_known_and_what_is_not(done: Path, tmp_path: Path) -> None:
    export(done, "datasets", tmp_path / "set")
    card = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    hub = importlib.import_module("huggingface_hub")
    assert [one["config_name"] for one in hub.DatasetCard(card).data.to_dict()["configs"]] == list(TRL)
    assert "not stated" in card
    assert "scripted teacher" in card


def test_argilla_gets_records_that_match_its_settings(done: Path, tmp_path: Path) -> None:
    count = export(done, "argilla", tmp_path / "argilla")
    settings = json.loads((tmp_path / "argilla" / ".argilla" / "settings.json").read_text(encoding="utf-8"))
    records = json.loads((tmp_path / "argilla" / "records.json").read_text(encoding="utf-8"))
    assert len(records) == count == bought(done)
    assert len({record["id"] for record in records}) == count
    fields = {one["name"]: one for one in settings["fields"]}
    questions = {one["name"]: one for one in settings["questions"]}
    metadata = {one["name"] for one in settings["metadata"]}
    assert all(one["settings"] == {"type": "text", "use_markdown": False} for one in fields.values())
    for record in records:
        assert all(record["fields"].values())
        assert {name for name, one in fields.items() if one["required"]} <= record["fields"].keys() <= fields.keys()
        assert record["metadata"].keys() <= metadata
        for name, suggestion in record["suggestions"].items():
            options = questions[name]["settings"].get("options")
            assert options is None or suggestion["value"] in [option["value"] for option in options]
    assert any(record["suggestions"].get("first_wrong_step", {}).get("value") == "1" for record in records)


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_takes_the_place_of_an_earlier_one(done: Path, tmp_path: Path, to: str) -> None:
    target = tmp_path / "there"
    assert export(done, to, target) == export(done, to, target)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    place = default_place(done, to)
    assert place.parent == done


@pytest.mark.parametrize("to", FORMATS)
def test_a_place_that_cannot_be_written_to_is_named_and_left_alone(done: Path, tmp_path: Path, to: str) -> None:
    target = tmp_path / "file"
    target.write_text("mine")
    with pytest.raises(InputError, match="file"):
        export(done, to, target / "within")
    assert target.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
