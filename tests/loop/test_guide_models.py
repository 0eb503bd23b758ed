"""A guide in the loop with real training, on tiny models: soft labels of a mentor that learnt first."""

import gc
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from guide_kit import Notes, events
from loop_kit import experiment, history, problems
from transformers import LlamaForCausalLM

from elad.experiment import Data, Experiment
from elad.ledger.events import Kind
from elad.loop import run
from elad.students.transformers import Transformers, TransformersStudent

DATA = Data(pool=problems(6, 1, "p"), heldout=problems(2, 2, "h"), warmup=problems(2, 3, "w"))
QUICK = {"epochs": 2, "batch_size": 4, "max_length": 600}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student, and a larger mentor of its vocabulary."""
    folder = tmp_path_factory.mktemp("models")
    tiny_model.save(folder / "student", context=700)
    tiny_model.save(folder / "mentor", seed=1, context=700, hidden=96)
    return folder


def mentored(models: Path, *overrides: str, mentor: str = "mentor") -> Experiment:
    """One round of four questions, soft labels of a mentor that is trained in all its weights."""
    engine: dict[str, Any] = {"engine": "transformers", "dtype": "float32"}
    return experiment(
        "rounds.count=1",
        "rounds.questions=4",
        "drafting.max_tokens=16",
        *overrides,
        data=DATA,
        student={**engine, "model": str(models / "student"), "lora": {"rank": 4}},
        selector="random",
        reviser="rewrite",
        objective={"kind": "soft"},
        training=QUICK,
        guide={
            "student": {**engine, "model": str(models / mentor), "lora": None},
            "training": QUICK | {"epochs": 4, "learning_rate": 0.01, "patience": 1, "validation_share": 0.5},
            "samples": 2,
        },
    )


@pytest.fixture(scope="module")
def whole(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(mentored(models), folder)
    return folder


def trained(folder: Path) -> list[dict[str, Any]]:
    return [event.payload for event in events(folder, Kind.TRAINING)]


def test_the_student_learns_from_the_mentor_that_learnt_in_its_round(whole: Path) -> None:
    warmup, mentor, student = trained(whole)
    assert "guide" not in {*warmup, *mentor}
    assert student["guide"] == mentor["student"]
    assert (mentor["rows"], mentor["validation_rows"]) == (6, 2)
    assert len(mentor["validation_losses"]) == len(mentor["losses"])
    assert (student["rows"], student["validation_rows"]) == (6, 0)
    assert student["losses"][-1] < student["losses"][0]


@pytest.mark.parametrize(
    "override", ["objective.lambda=0.9", "objective.tau=1.0", "guide.training.epochs=2", "guide.student.model=student"]
)
def test_the_student_is_another_where_mentor_or_objective_is(
    models: Path, whole: Path, tmp_path: Path, override: str
) -> None:
    run(mentored(models, override.replace("=student", f"={models / 'student'}")), tmp_path)
    one, other = trained(whole), trained(tmp_path)
    assert one[0] == other[0]
    assert one[2]["student"] != other[2]["student"]
    assert (one[1]["student"] == other[1]["student"]) == override.startswith("objective")


@pytest.mark.parametrize("fit", [2, 3], ids=["mentor", "student"])
def test_interrupted_in_a_training_it_goes_on_to_the_same_weights(
    models: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fit: int
) -> None:
    left, teach = fit, TransformersStudent.fit
    fitted: list[str] = []

    def interrupted(self: TransformersStudent, *given: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        fitted.append(Path(self.settings.model).name)
        return teach(self, *given, **named)

    monkeypatch.setattr(TransformersStudent, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(mentored(models), tmp_path)
    assert len(trained(tmp_path)) == fit - 1
    run(mentored(models), tmp_path)
    assert fitted == ["student", "mentor", "student"]
    assert history(tmp_path) == history(whole)


def test_nobody_holds_a_mentor_after_its_round(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models in memory are more than many a machine has: it is there while it is looked at."""
    loaded: list[Any] = []
    held: list[int] = []
    come, trained_one = Transformers.open, Transformers.load
    generate = TransformersStudent.generate

    def kept(student: TransformersStudent) -> TransformersStudent:
        if Path(student.settings.model).name == "mentor":
            loaded.append(weakref.ref(student.model))
        return student

    def watching(self: TransformersStudent, *given: Any) -> Any:
        if Path(self.settings.model).name == "student":  # it drafts, or is measured
            gc.collect()
            held.append(sum(one() is not None for one in loaded))
        return generate(self, *given)

    monkeypatch.setattr(Transformers, "open", lambda self: kept(come(self)))
    monkeypatch.setattr(Transformers, "load", lambda self, folder: kept(trained_one(self, folder)))
    monkeypatch.setattr(TransformersStudent, "generate", watching)
    run(mentored(models), tmp_path)
    assert len(loaded) >= 3
    assert len(held) >= 3
    assert set(held) == {0}


@pytest.mark.parametrize("more", [0, 24])
def test_it_is_said_aloud_where_student_and_guide_pad_one_vocabulary_differently(
    models: Path, tmp_path: Path, more: int
) -> None:
    folder, notes = tmp_path / "padded", Notes()
    shutil.copytree(models / "mentor", folder)
    model = LlamaForCausalLM.from_pretrained(folder)
    size = model.config.vocab_size
    model.resize_token_embeddings(size + more, mean_resizing=False)
    model.save_pretrained(folder)
    guide = {"student": {"engine": "transformers", "dtype": "float32", "model": str(folder)}}
    run(mentored(models).but(guide=guide, objective={"kind": "jsd"}), tmp_path / "run", notes)
    told = (
        f"round 1: the student predicts {size} tokens and its guide {size + 24}, padding among them: the first {size} "
    )
    assert [note.startswith(told) for note in notes.told if "predicts" in note] == [True] * bool(more)
    assert trained(tmp_path / "run")[1].get("vocabularies", {}).get("guide") == (size + more if more else None)
