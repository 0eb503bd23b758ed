"""The only training loop: `transformers.Trainer` with our loss in it.

The loss of a step is the objective's sum over all its micro-batches, divided once by the number of
target tokens in the whole step, so that 8 rows at once and 8 x 1 accumulated give one gradient.
"""

# transformers, peft and torch leave parts of their interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from elad.packing.layout import called
from elad.packing.sight import Sight
from elad.protocols import LossSum, Objective, Training
from elad.records import Example
from elad.training.rows import Row, collate, encode_example

Progress = Callable[[float], None]
"""Called with the share of optimiser steps that are done, 0..1."""


def train(  # noqa: PLR0913 - one call site, and each is something else
    model: nn.Module,
    tokenizer: Any,
    examples: Sequence[Example],
    objective: Objective,
    training: Training,
    *,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains `model` in place; gives a summary of rows, tokens, steps and losses.

    Rows longer than `training.max_length` are left out and counted under `too_long`.
    """
    rows = [encode_example(tokenizer, example) for example in examples]
    fitting = [row for row in rows if len(row) <= training.max_length]
    summary: dict[str, Any] = {"rows": len(fitting), "too_long": len(rows) - len(fitting)}
    if not fitting:
        return summary | {"steps": 0}
    learn, check = split(fitting, training, seed)
    if next(model.parameters()).device.type == "cpu":
        # The fused kernel's backward pass takes several times as long there (benchmarks/train.py: 267 to 318 tokens/s).
        cast("Any", model).set_attn_implementation("eager")
    if training.gradient_checkpointing:
        cast("Any", model).activation_checkpointing_enable({"use_reentrant": False})
    with tempfile.TemporaryDirectory() as scratch:
        trainer = _ElaTrainer(
            model=model,
            args=_arguments(training, Path(scratch), seed, checked=bool(check)),
            train_dataset=_Rows(learn),
            eval_dataset=_Rows(check) if check else None,
            data_collator=lambda items: collate([item["row"] for item in items]),
            callbacks=_callbacks(training, progress, checked=bool(check)),
        )
        trainer.objective = objective
        trainer.sight = Sight.of(model.config)
        # The Trainer counts a step's targets only for models whose own loss takes the count; ours always does.
        trainer.model_accepts_loss_kwargs = True
        trainer.remove_callback(PrinterCallback)
        torch.manual_seed(seed)
        result = trainer.train()
        history = trainer.state.log_history
    return summary | {
        "steps": result.global_step,
        "target_tokens": sum(len(row) - row.target_start for row in learn),
        "losses": [round(entry["loss"], 6) for entry in history if "loss" in entry],
        "validation_losses": [round(entry["eval_loss"], 6) for entry in history if "eval_loss" in entry],
        "validation_rows": len(check),
    }


def split(rows: Sequence[Row], training: Training, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows to learn from, and the bought rows to stop by, drawn by `seed`; both in the order of `rows`.

    There is nothing to stop by where early stopping is off, or where it would leave no bought row to learn from.
    """
    order = [place for place, row in enumerate(rows) if row.bought]
    if not training.patience or len(order) < 2:
        return list(rows), []
    random.Random(seed).shuffle(order)
    held = set(order[: min(max(1, round(len(order) * training.validation_share)), len(order) - 1)])
    return [row for i, row in enumerate(rows) if i not in held], [rows[i] for i in sorted(held)]


def step_loss(model: nn.Module, inputs: dict[str, Tensor], objective: Objective, sight: Sight) -> LossSum:
    """The objective's sum and count over one packed batch.

    The head is applied only where some tree of the batch carries loss: logits over the whole
    vocabulary are the largest thing in memory when a small model is trained.
    """
    dtype = next(model.parameters()).dtype
    logits_BKV = model(**called(inputs, sight, dtype), logits_to_keep=inputs["heads"], use_cache=False).logits
    targets_N = inputs["labels"][1:]
    tree_N, spot_N = inputs["spots"].unbind(-1)
    return objective(logits_BKV[tree_N, spot_N], targets_N, torch.ones_like(targets_N, dtype=torch.bool))


class _Rows(Dataset[dict[str, Any]]):
    """Rows in the shape in which the Trainer hands them on."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"row": self.rows[index]}


class _ElaTrainer(Trainer):
    """The Trainer with an objective in place of the model's own loss."""

    objective: Objective
    sight: Sight

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss divided by the target tokens of the whole step, not of the micro-batch."""
        if num_items_in_batch is None:
            raise RuntimeError("the Trainer did not count the step's targets: the loss would be a mean of means")
        mean = step_loss(model, inputs, self.objective, self.sight).total / num_items_in_batch
        return (mean, {}) if return_outputs else mean

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The validation loss: one sum over one count, whatever the micro-batches; no logits are kept."""
        model = cast("nn.Module", self.model)
        model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for inputs in self.get_eval_dataloader():
                loss = step_loss(model, self._prepare_inputs(inputs), self.objective, self.sight)
                total, count = total + float(loss.total), count + int(loss.count)
        metrics = {"eval_loss": total / count}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class _Report(TrainerCallback):
    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.progress(state.global_step / state.max_steps)


def _callbacks(training: Training, progress: Progress | None, *, checked: bool) -> list[TrainerCallback]:
    callbacks: list[TrainerCallback] = []
    if progress:
        callbacks.append(_Report(progress))
    if checked:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=training.patience))
    return callbacks


class _OneDevice(TrainingArguments):
    """Arguments of a Trainer that keeps to one device: it would cut the packed batch into pieces that fit no tree."""

    @property
    def n_gpu(self) -> int:
        """At most one, however many there are."""
        return min(super().n_gpu, 1)


def _arguments(training: Training, scratch: Path, seed: int, *, checked: bool) -> TrainingArguments:
    micro = min(training.micro_batch_size, training.batch_size)
    return _OneDevice(
        output_dir=str(scratch),
        num_train_epochs=training.epochs,
        learning_rate=training.learning_rate,
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=max(1, training.batch_size // micro),
        lr_scheduler_type="cosine",
        warmup_steps=training.warmup_ratio,
        weight_decay=0.0,
        seed=seed % 2**32,
        data_seed=seed % 2**32,
        eval_strategy="epoch" if checked else "no",
        save_strategy="epoch" if checked else "no",
        save_total_limit=1,
        load_best_model_at_end=checked,
        metric_for_best_model="eval_loss" if checked else None,
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
