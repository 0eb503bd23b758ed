"""Lessons and targets for tests."""

from typing import Any

import torch
from torch import Tensor

from elad.learning import Lesson, Targets
from elad.records import Example, Message
from elad.settings import Training
from elad.training.objectives.sft import Sft

QUICK = Training(epochs=2, batch_size=4, micro_batch_size=2, learning_rate=0.01)


def example(i: int) -> Example:
    """A warm-up row, a sum."""
    messages = (Message(role="user", content=f"{i} + {i}?"),)
    return Example(problem_id=str(i), messages=messages, target=f"The answer is {2 * i}.", source="warmup")


def lesson(training: Training, seed: int = 3) -> Lesson:
    """Plain fine-tuning."""
    return Lesson(objective=Sft(), training=training, seed=seed)


def targets(ids_N: Tensor, mask_N: Tensor | None = None, **more: Any) -> Targets:
    """Targets of one row that all carry loss, but for what is given."""
    plain: dict[str, Any] = {"weights_N": torch.ones(len(ids_N)), "rows_N": torch.zeros(len(ids_N), dtype=torch.long)}
    mask_N = torch.ones(len(ids_N), dtype=torch.bool) if mask_N is None else mask_N
    return Targets(ids_N=ids_N, mask_N=mask_N, **(plain | more))
