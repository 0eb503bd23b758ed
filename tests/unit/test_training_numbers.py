"""What the one trainer does of its numbers: which of them end a training, and how often it looks at any."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import tiny_model
import torch
from lesson_kit import lesson

from elad.errors import StudentError
from elad.learning import LossSum, Need, Targets
from elad.records import Example, Message
from elad.settings import Training
from elad.students.transformers import Lora, Transformers, TransformersStudent
from elad.training.trainer import train

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
