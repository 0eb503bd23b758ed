"""TRL's trainers take what is exported, unchanged: one step of each on a tiny model of random weights."""

import importlib
import math
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment

from elad.loop import run
from elad.report.export import export

pytest.importorskip("trl", reason="needs the extra `bench`")
pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's own, of which there are many

ONE_STEP: dict[str, Any] = {
    "max_steps": 1,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-3,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done")
    run(experiment(), folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return importlib.import_module("tiny_model").save(tmp_path_factory.mktemp("model"), context=1024)


@pytest.fixture
def parts(done: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a data set of one form as a user would, and loads the tokenizer."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets, transformers = map(importlib.import_module, ("datasets", "transformers"))

    def make(to: str) -> tuple[Any, Any]:
        export(done, to, tmp_path / "rows.jsonl")
        rows = datasets.load_dataset(
            "json", data_files=str(tmp_path / "rows.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
        )
        return rows, transformers.AutoTokenizer.from_pretrained(model)

    return make


def learns(trainer: Any) -> None:
    """One step is taken, its loss is a number, and it changes the weights."""
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    outcome = trainer.train()
    assert outcome.global_step == 1
    assert math.isfinite(outcome.training_loss)
    assert any(not before[name].equal(weight) for name, weight in trainer.model.named_parameters())


def test_sft(parts: Any, model: Path, tmp_path: Path) -> None:
    trl, transformers = map(importlib.import_module, ("trl", "transformers"))
    rows, tokenizer = parts("messages")
    trainer = trl.SFTTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(model),
        args=trl.SFTConfig(output_dir=str(tmp_path / "out"), **ONE_STEP),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    (said,) = tokenizer.batch_decode(trainer.train_dataset[:1]["input_ids"])
    assert said.endswith(f"<|assistant|>{rows[0]['messages'][-1]['content']}<|end|>")
    learns(trainer)


def test_dpo(parts: Any, model: Path, tmp_path: Path) -> None:
    trl, transformers = map(importlib.import_module, ("trl", "transformers"))
    rows, tokenizer = parts("preference")
    trainer = trl.DPOTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(model),
        args=trl.DPOConfig(output_dir=str(tmp_path / "out"), **ONE_STEP),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    for row, seen in zip(rows, trainer.train_dataset, strict=True):
        assert tokenizer.decode(seen["prompt_ids"]).endswith(f"{row['prompt'][-1]['content']}<|end|><|assistant|>")
        for name in ("chosen", "rejected"):
            assert tokenizer.decode(seen[f"{name}_ids"]) == f"{row[name][0]['content']}<|end|>"
            assert row[name][0]["content"].startswith(row["accepted"])
    learns(trainer)


def test_prm(parts: Any, model: Path, tmp_path: Path) -> None:
    prm = pytest.importorskip("trl.experimental.prm", reason="TRL has a PRM trainer up to 1.13")
    transformers = importlib.import_module("transformers")
    rows, tokenizer = parts("stepwise")
    trainer = prm.PRMTrainer(
        model=transformers.AutoModelForTokenClassification.from_pretrained(model, num_labels=2),
        args=prm.PRMConfig(output_dir=str(tmp_path / "out"), max_length=1024, **ONE_STEP),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    for row, seen in zip(rows, trainer.train_dataset, strict=True):
        assert [label for label in seen["labels"] if label != -100] == [int(label) for label in row["labels"]]
    learns(trainer)
