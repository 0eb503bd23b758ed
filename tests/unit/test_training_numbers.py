"""What the one trainer does of its numbers: which of them end a training, and how often it looks at any."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import tiny_model
import torch
from lesson_kit import lesson
from transformers import TrainingArguments

from elad.errors import StudentError
from elad.kinds import build
from elad.learning import Lesson, LossSum, Need, Targets
from elad.records import Example, Message
from elad.settings import Training
from elad.students.transformers import Lora, Transformers, TransformersStudent
from elad.training.batches import encoded, packed, referred
from elad.training.trainer import step_loss, train

QUICK = Training(epochs=2, batch_size=4, micro_batch_size=2, learning_rate=0.01, warmup_ratio=0.0)
EXAMPLES = [
    Example(
        problem_id=str(i),
        messages=(Message(role="user", content=f"{i} + {i}?"),),
        target=f"The answer is {2 * i}.",
        source="warmup",
    )
    for i in range(8)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("tiny"))


def tiny(folder: Path, lora: Lora | None = None) -> TransformersStudent:
    return Transformers(model=str(folder), dtype="float32", lora=lora).open()


@dataclass(frozen=True)
class Odd:
    """An objective that makes a loss of the sum of all logits."""

    loss: Callable[[torch.Tensor], torch.Tensor]
    parts: tuple[torch.Tensor, ...] = ()
    needs: frozenset[Need] = frozenset()

    def __call__(self, logits_NV: torch.Tensor, targets: Targets) -> LossSum:
        named = {str(place): part for place, part in enumerate(self.parts)}
        return LossSum(total=self.loss(logits_NV.sum()), count=targets.mask_N.sum(), parts=named)


def test_a_training_that_diverges_ends_at_the_step_and_saves_nothing(folder: Path, tmp_path: Path) -> None:
    steep = lesson(replace(QUICK, learning_rate=1e38))
    with pytest.raises(StudentError, match=r"loss of step 2 of 4 is nan.*training\.learning_rate \(1e\+38\)"):
        tiny(folder).fit(EXAMPLES, steep, folder=tmp_path / "student")
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_training_before_a_weight_moves(folder: Path, value: float) -> None:
    student = tiny(folder)
    model, _ = student.trainable()
    before = [weight.clone() for weight in model.parameters()]
    broken = replace(lesson(QUICK), objective=Odd(lambda total: total * value))
    with pytest.raises(StudentError, match="loss of step 1 of 4 is"):
        train(model, student.tokenizer, EXAMPLES, broken, write=student.writer(model))
    for weight, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(weight, old, rtol=0, atol=0)


def test_weights_that_the_last_step_breaks_are_not_saved(folder: Path, tmp_path: Path) -> None:
    steep = Odd(lambda total: (total * 0.0).sqrt())  # 0, with a slope that is not a number
    one_step = replace(QUICK, epochs=1, batch_size=8)
    with pytest.raises(StudentError, match="a weight is not finite after the last step"):
        tiny(folder).fit(EXAMPLES, replace(lesson(one_step), objective=steep), folder=tmp_path / "student")
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize("parts", [1, 2])
def test_no_number_is_asked_of_the_device_for_a_micro_batch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    student, asked = tiny(folder), list[str]()
    objective = Odd(lambda total: total * 1e-3, parts=(torch.tensor(0.5, dtype=torch.double),) * parts)
    for name in ("item", "__int__", "__float__", "__bool__", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, counted(name, asked))
    counts, tellings = list[int](), list[Any]()
    for micro in (8, 2, 1):
        model, _ = student.trainable()
        taught = replace(lesson(replace(QUICK, batch_size=8, micro_batch_size=micro)), objective=objective)
        asked.clear()
        tellings.append(train(model, student.tokenizer, EXAMPLES, taught, write=student.writer(model)).get("parts"))
        counts.append(len(asked))
    assert counts[0] == counts[1] == counts[2] > 0
    targets = sum(len(student.tokenizer(one.target)["input_ids"]) + 1 for one in EXAMPLES)
    for micros, told in zip((1, 4, 8), tellings, strict=True):
        mean = pytest.approx(micros * 0.5 / targets, abs=1e-6)
        assert told == (None if parts == 1 else [{"0": mean, "1": mean}] * 2)


def counted(name: str, asked: list[str]) -> Callable[[torch.Tensor], Any]:
    """A tensor's method that also tells when it is called."""
    method = getattr(torch.Tensor, name)

    def called(tensor: torch.Tensor, *rest: Any) -> Any:
        asked.append(name)
        return method(tensor, *rest)

    return called


def test_what_rows_were_likely_by_is_worked_out_where_the_model_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, sums = tiny(folder), list[torch.Tensor]()
    items = [encoded(student.tokenizer, one, lesson(QUICK)) for one in EXAMPLES]
    read = torch.Tensor.tolist

    def seen(tensor: torch.Tensor) -> Any:
        sums.append(tensor)
        return read(torch.zeros_like(tensor, device="cpu"))

    monkeypatch.setattr(torch.Tensor, "tolist", seen)
    model = student.model.to("meta")  # which takes no tensor of another device
    found = referred(model, items, 3, student.decoder.sight)
    assert [(one.device.type, len(one)) for one in sums] == [("meta", 3), ("meta", 3), ("meta", 2)]
    assert [row.reference for item in found for row in item.rows] == [0.0] * 8


def test_several_processes_are_refused_before_anything_is_learnt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = tiny(folder)
    model, _ = student.trainable()
    monkeypatch.setattr(TrainingArguments, "world_size", 2)
    with pytest.raises(StudentError, match=r"training: 2 processes were started, .* one"):
        train(model, student.tokenizer, EXAMPLES, lesson(QUICK), write=student.writer(model))


@dataclass(frozen=True)
class Climbing:
    """An objective that leaves the student as it is and makes its own loss smaller by a weight of its own."""

    own: torch.Tensor | None = None
    needs: frozenset[Need] = frozenset()

    def begun(self, seed: int, device: torch.device) -> tuple["Climbing", list[torch.Tensor]]:
        weight = torch.ones((), requires_grad=True, device=device)
        return Climbing(own=weight), [weight]

    def __call__(self, logits_NV: torch.Tensor, targets: Targets) -> LossSum:
        assert self.own is not None
        total = (logits_NV * 0.0).sum() + self.own * targets.mask_N.sum()
        return LossSum(total=total, count=targets.mask_N.sum(), parts={})


def test_what_an_objective_learns_beside_the_student_does_not_move_what_the_training_is_stopped_by(
    folder: Path,
) -> None:
    student = tiny(folder)
    model, _ = student.trainable()
    bought = [replace(one, source="repaired") for one in EXAMPLES]
    stopped = replace(QUICK, epochs=3, patience=3, validation_share=0.25)
    summary = train(
        model, student.tokenizer, bought, replace(lesson(stopped), objective=Climbing()), write=student.writer(model)
    )
    assert summary["validation_losses"] == [1.0] * 3
    assert summary["losses"][-1] < 1.0  # it did learn


@pytest.mark.parametrize("lora", [Lora(), None], ids=["lora", "full"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_products_are_in_the_students_numbers_and_what_is_trained_in_single_precision(
    folder: Path, dtype: Literal["float32", "bfloat16"], lora: Lora | None
) -> None:
    student, seen = Transformers(model=str(folder), dtype=dtype, lora=lora).open(), set[torch.dtype]()
    model, _ = student.trainable()
    for name, module in model.named_modules():
        if name.endswith(("down_proj", "o_proj", "lm_head")):
            module.register_forward_hook(lambda *called: seen.add(called[-1].dtype))
    batch = packed([encoded(student.tokenizer, one, lesson(QUICK)) for one in EXAMPLES], lesson(QUICK))
    loss = step_loss(model, batch, lesson(QUICK), student.decoder.sight, student.model.dtype)
    loss.total.backward()
    assert seen == {student.model.dtype}
    assert loss.total.dtype is torch.float32
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert {weight.dtype for weight in trained} == {torch.float32}
    assert {weight.grad.dtype for weight in trained if weight.grad is not None} == {torch.float32}


@pytest.mark.parametrize("objective", ["sft", "dpo"])
def test_all_weights_learn_alike_in_half_precision(folder: Path, objective: str) -> None:
    taught = Lesson(
        objective=build("elad.training.objectives", objective, "objective"), training=replace(QUICK, epochs=4), seed=3
    )
    rows = [replace(one, rejected="The answer is 1.") for one in EXAMPLES]
    curves, seen = list[list[float]](), set[torch.dtype]()
    numbers: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    for dtype in numbers:
        student = Transformers(model=str(folder), dtype=dtype, lora=None).open()
        model, _ = student.trainable()
        model.lm_head.register_forward_hook(lambda *called: seen.add(called[-1].dtype))
        told = train(model, student.tokenizer, rows, taught, write=student.writer(model), dtype=student.model.dtype)
        curves.append(told["losses"])
    assert seen == {torch.float32, torch.bfloat16}
    assert curves[0][-1] < 0.8 * curves[0][0]
    assert curves[1] == pytest.approx(curves[0], rel=0.15)
    assert curves[1] != curves[0]
