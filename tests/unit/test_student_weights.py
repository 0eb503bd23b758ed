"""Whose weights are whose: what learns, what it began from, and what is in memory twice."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from lesson_kit import QUICK, example, lesson

from elad.students.transformers import Lora, Transformers, TransformersStudent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("lora", [Lora(rank=4), None], ids=["lora", "full"])
@pytest.mark.parametrize("goes_on", [False, True], ids=["base", "goes on"])
def test_what_a_student_trains_another_from_stays_as_it_is(
    folder: Path, tmp_path: Path, lora: Lora | None, goes_on: bool
) -> None:
    start = Transformers(model=str(folder), dtype="float32", lora=lora).open()
    rows = [example(i) for i in range(6)]
    if goes_on:  # what then is trained is merged
        taught = start.fit(rows, lesson(QUICK, 1), folder=tmp_path / "a").student
        assert isinstance(taught, TransformersStudent)
        start = taught
    before = state(start.model)
    fit = start.fit(rows, lesson(replace(QUICK, gradient_checkpointing=True), 2), folder=tmp_path / "b")
    assert fit.student.id != start.id
    assert state(start.model) == before


def state(model: Any) -> dict[str, Any]:
    """All of a model that a training could touch."""
    weights = {
        name: (weight.detach().numpy().tobytes(), weight.requires_grad, weight.grad is None, weight.dtype)
        for name, weight in model.named_parameters()
    }
    modules = {name: (type(one), one.training, len(one._forward_pre_hooks)) for name, one in model.named_modules()}
    return {"weights": weights, "modules": modules, "kernel": model.config._attn_implementation,
            "checkpointing": model.is_activation_checkpointing}  # fmt: skip


@pytest.mark.parametrize("lora", [Lora(rank=4), None], ids=["lora", "full"])
def test_weights_are_held_twice_only_where_they_are_trained(folder: Path, lora: Lora | None) -> None:
    start = Transformers(model=str(folder), dtype="float32", lora=lora).open()
    mine = {weight.data_ptr() for weight in start.model.parameters()}
    model, _ = start.trainable()
    fixed = [weight.data_ptr() for weight in model.parameters() if not weight.requires_grad]
    trained = [weight.data_ptr() for weight in model.parameters() if weight.requires_grad]
    assert {*fixed} == (mine if lora else set())
    assert trained
    assert mine.isdisjoint(trained)
