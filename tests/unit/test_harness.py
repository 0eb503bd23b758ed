"""`elad eval MODEL --tasks`: the adapter for lm-evaluation-harness, and the harness itself where it is installed."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from elad.cli import app
from elad.errors import InputError
from elad.evaluation.harness import Asked, rows, run_tasks

SUMS = [("2 + 3 =", " 5"), ("4 + 4 =", " 8"), ("1 + 6 =", " 7"), ("3 + 3 =", " 6")]
OPTIONS = [answer for _, answer in SUMS]
PICK = """
task: elad_pick
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: {options}
doc_to_target: "{{{{place}}}}"
target_delimiter: ""
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0}}
"""


def test_a_row_for_each_number_with_its_interval() -> None:
    found = {
        "results": {
            "one": {"alias": "one", "sample_len": 4, "acc,none": 0.5, "acc_stderr,none": 0.1},
            "two": {"alias": "two", "f1,strict": 0.25, "f1_stderr,strict": "N/A", "note,none": "text"},
        },
        "n-samples": {"one": {"original": 9, "effective": 4}},
        "n-shot": {"one": 2},
        "versions": {"one": 1.0},
    }
    one, two = rows(found)
    assert one.pop("interval") == pytest.approx([0.304, 0.696], abs=1e-3)
    assert one == {
        "task": "one", "metric": "acc", "filter": "none", "value": 0.5, "stderr": 0.1, "questions": 4, "few_shot": 2,
        "version": 1.0,
    }  # fmt: skip
    assert (two["metric"], two["filter"], two["value"], two["stderr"], two["interval"]) == (
        "f1", "strict", 0.25, None, None,
    )  # fmt: skip


@pytest.mark.parametrize("words", [("model", "somewhere"), ("somewhere",)])
def test_without_the_harness_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    done = CliRunner().invoke(app, ["eval", *words, "--tasks", "arc_easy"])
    assert isinstance(done.exception, InputError)
    assert "pip install 'elad[train,harness]'" in str(done.exception)


def test_a_part_of_the_system_is_no_model() -> None:
    done = CliRunner().invoke(app, ["eval", "steps", "nowhere.jsonl"])
    assert isinstance(done.exception, InputError)
    assert "nowhere.jsonl" in str(done.exception)


@pytest.mark.parametrize("tasks", [[], [""], ["a", ""]])
def test_tasks_have_names(tasks: list[str]) -> None:
    with pytest.raises(InputError, match="--tasks"):
        Asked(tasks=tasks)


def test_a_folder_of_tasks_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--include"):
        Asked(tasks=["a"], folder=tmp_path / "none")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task whose questions lie beside it; no network."""
    pytest.importorskip("lm_eval", reason="needs the extra `harness`")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "tasks"
    folder.mkdir()
    lines = (json.dumps({"q": question, "place": place}) for place, (question, _) in enumerate(SUMS))
    (folder / "sums.jsonl").write_text("\n".join(lines))
    text = PICK.format(data=folder / "sums.jsonl", options=json.dumps(OPTIONS))
    (folder / "pick.yaml").write_text(text)
    return folder


def likeliest(folder: Path) -> list[int]:
    """The option of the highest log-probability after each question, by plain forward passes."""
    torch, transformers = map(importlib.import_module, ("torch", "transformers"))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def weight(question: str, option: str) -> float:
        start, ids = (tokenizer(text, return_tensors="pt")["input_ids"][0] for text in (question, question + option))
        with torch.no_grad():
            logs = model(ids[None]).logits[0].log_softmax(-1)
        return sum(float(logs[place - 1, ids[place]]) for place in range(len(start), len(ids)))

    weights = [[weight(question, option) for option in OPTIONS] for question, _ in SUMS]
    return [max(range(len(OPTIONS)), key=row.__getitem__) for row in weights]


@pytest.mark.filterwarnings("ignore")  # the harness's own
def test_the_harness_measures_the_model_that_is_named(task: Path, tmp_path: Path) -> None:
    tiny: Any = importlib.import_module("tiny_model")
    model = tiny.save(tmp_path / "model", context=512)
    told = run_tasks(str(model), Asked(tasks=["elad_pick"], folder=task))
    (row,) = told["tasks"]
    right = [chosen == place for place, chosen in enumerate(likeliest(model))]
    assert (row["task"], row["metric"], row["questions"]) == ("elad_pick", "acc", 4)
    assert row["value"] == sum(right) / 4
    with pytest.raises(InputError, match="did you mean 'elad_pick'"):
        run_tasks(str(model), Asked(tasks=["elad_pikc"], folder=task))
