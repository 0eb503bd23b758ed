"""The only training loop: `transformers.Trainer` with our loss in it.

The loss of a step is the objective's sum over all its micro-batches, divided once by the number of
targets (or pairs) in the whole step, so that 8 rows at once and 8 x 1 accumulated give one gradient.
"""

# transformers, peft and torch leave parts of their interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from elad.errors import StudentError
from elad.learning import Full, Learns, Lesson, LossSum, Need, Targets, View, Write
from elad.packing.sight import Sight
from elad.records import Example, derive_seed
from elad.settings import Training
from elad.training.batches import Item, Items, Serving, encoded, in_pairs, packed, referred
from elad.training.guide import ModelGuide, target_logits
from elad.training.rows import LARGEST

Progress = Callable[[float], None]
"""Called with the share of optimiser steps that are done, 0..1."""


def train(  # noqa: PLR0913 - who learns what from what, and who is told
    model: nn.Module,
    tokenizer: Any,
    examples: Sequence[Example],
    lesson: Lesson,
    *,
    write: Write,
    dtype: torch.dtype | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains `model` in place; gives a summary of rows, tokens, steps and losses.

    Rows longer than `training.max_length` are left out and counted under `too_long`, and where pairs are learnt from
    the examples that reject nothing under `unpaired`. Where a guide pads its vocabulary to another size, `vocabularies`
    tells both; where the loss has several parts, `parts` tells them by epoch. `write` is who answers for a feed.
    `dtype` is what is multiplied in, which need not be what weights, losses and the optimiser are in (`target_logits`).
    Raises: StudentError where a guide reads other tokens, a loss or a weight is no number, or there are more processes.
    """
    training, seed = lesson.training, lesson.seed
    sizes = _sizes(lesson, model, tokenizer)
    paired = [one for one in examples if one.rejected is not None] if in_pairs(lesson) else list(examples)
    items = [encoded(tokenizer, one, lesson) for one in paired]
    fitting = [item for item in items if item.fits(training.max_length)]
    summary: dict[str, Any] = {"rows": len(fitting), "too_long": len(items) - len(fitting), **sizes}
    if in_pairs(lesson):
        summary["unpaired"] = len(examples) - len(paired)
    if not fitting:
        return summary | {"steps": 0}
    sight = Sight.of(cast("Any", model).config)
    _choose_kernel(cast("Any", model), fitting, lesson)
    if Need.REFERENCE in lesson.objective.needs:
        fitting = referred(model, fitting, training.micro_batch_size, sight, dtype)
    learn, check = split(fitting, training, seed)
    if training.gradient_checkpointing:
        cast("Any", model).activation_checkpointing_enable({"use_reentrant": False})
    with tempfile.TemporaryDirectory() as scratch:
        serving = Serving(tokenizer=tokenizer, lesson=lesson, write=write)
        (judge, _), (lesson, own) = _begun(lesson, model), _begun(lesson, model)
        trainer = _ElaTrainer(
            model=model,
            args=_arguments(training, Path(scratch), seed, checked=bool(check)),
            train_dataset=Items(learn),
            eval_dataset=Items(check) if check else None,
            data_collator=serving,
            callbacks=[*_callbacks(training, progress, serving, checked=bool(check)), *own],
        )
        trainer.lesson, trainer.sight, trainer.check, trainer.parts = lesson, sight, check, defaultdict(float)
        trainer.dtype, trainer.judge = dtype, judge
        # The Trainer counts a step's targets only for models whose own loss takes the count; ours always does.
        trainer.model_accepts_loss_kwargs = True
        trainer.remove_callback(PrinterCallback)
        torch.manual_seed(seed)
        result = trainer.train()
    _refuse_broken(model, training)
    return summary | {
        "steps": result.global_step,
        "target_tokens": sum(len(row) - row.target_start for item in learn for row in item.rows),
        **_curves(trainer.state.log_history),
        "validation_rows": len(check),
    }


def _sizes(lesson: Lesson, model: nn.Module, tokenizer: Any) -> dict[str, dict[str, int]]:
    """Under `vocabularies`, how many tokens student and guide predict, where these are not as many.

    Raises: StudentError where the guide reads other tokens.
    """
    if not isinstance(lesson.guide, ModelGuide):
        return {}
    lesson.guide.refuse_other_tokens(tokenizer)
    sizes = lesson.guide.vocabularies(model)
    return {"vocabularies": sizes} if sizes else {}


def _choose_kernel(model: Any, items: Sequence[Item], lesson: Lesson) -> None:
    """On a CPU, attention that is not fused while no row can be longer than `LARGEST`.

    The fused kernel's backward pass takes several times as long there (benchmarks/train.py: 267 to 318 tokens/s), but
    keeps no scores of all nodes for all nodes, of each head of each layer.
    """
    longest = lesson.training.max_length if lesson.feed else max(len(row) for item in items for row in item.rows)
    if next(model.parameters()).device.type == "cpu" and longest <= LARGEST:
        model.set_attn_implementation("eager")


def _refuse_broken(model: nn.Module, training: Training) -> None:
    """Raises: StudentError where a weight that was trained is no number: no step looked at what the last one did."""
    if not all(bool(weight.isfinite().all()) for weight in model.parameters() if weight.requires_grad):
        raise _diverged("a weight is not finite after the last step", training)


def _curves(history: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What was told by epoch: the losses, of those with several parts also these, and the validation losses."""
    parts = [entry["parts"] for entry in history if "parts" in entry]
    return {
        "losses": [round(entry["loss"], 6) for entry in history if "loss" in entry],
        **({"parts": parts} if parts else {}),
        "validation_losses": [round(entry["eval_loss"], 6) for entry in history if "eval_loss" in entry],
    }


def _begun(lesson: Lesson, model: nn.Module) -> tuple[Lesson, list[TrainerCallback]]:
    """The lesson with its objective ready to learn, where that has weights of its own, and what moves them."""
    if not isinstance(lesson.objective, Learns):
        return lesson, []
    device = next(model.parameters()).device
    objective, weights = lesson.objective.begun(derive_seed(lesson.seed, "objective"), device)
    moving: list[TrainerCallback] = [_OwnWeights(weights, lesson.training.learning_rate)] if weights else []
    return replace(lesson, objective=objective), moving


def split(items: Sequence[Item], training: Training, seed: int) -> tuple[list[Item], list[Item]]:
    """What to learn from, and the bought items to stop by, drawn by `seed`; both in the order of `items`.

    Items of one question stay together: what was learnt from is no judge. There is nothing to stop by where early
    stopping is off, or where it would leave no bought question to learn from.
    """
    questions = list(dict.fromkeys(item.example.problem_id for item in items if item.rows[0].bought))
    if not training.patience or len(questions) < 2:
        return list(items), []
    random.Random(seed).shuffle(questions)
    count = min(max(1, round(len(questions) * training.validation_share)), len(questions) - 1)
    held = set(questions[:count])
    apart = [item.rows[0].bought and item.example.problem_id in held for item in items]
    return (
        [item for item, kept in zip(items, apart, strict=True) if not kept],
        [item for item, kept in zip(items, apart, strict=True) if kept],
    )


def step_loss(
    model: nn.Module, batch: Mapping[str, Any], lesson: Lesson, sight: Sight, dtype: torch.dtype | None = None
) -> LossSum:
    """The objective's sum and count over one packed batch (`rows.collate`), of `target_logits` in that `dtype`."""
    logits_NV = target_logits(model, batch, sight, dtype)
    view = None
    if Need.GUIDE in lesson.objective.needs:
        if lesson.guide is None:
            raise StudentError("objective: learns from a guide, and there is none")
        logits_NV, view = in_common(logits_NV, lesson.guide.view(batch))
    targets = Targets(
        ids_N=batch["targets"],
        mask_N=torch.ones_like(batch["targets"], dtype=torch.bool),
        weights_N=batch["weights"],
        rows_N=batch["rows"],
        view=view,
        reference_R=batch.get("references"),
        texts_R=batch.get("texts"),
        places_N2=batch.get("places"),
    )
    return lesson.objective(logits_NV, targets)


def in_common(logits_NV: Tensor, view: View) -> tuple[Tensor, View]:
    """Both without what only one of them has: models of a family pad one vocabulary to different sizes.

    Raises: StudentError where one of a guide's likeliest tokens is none of the student's.
    """
    if not isinstance(view, Full):
        highest, most = int(view.ids_NK.max()), logits_NV.shape[-1]
        if highest >= most:
            raise StudentError(f"guide: one of its likeliest tokens is number {highest}, and the student has {most}")
        return logits_NV, view
    common = min(logits_NV.shape[-1], view.logits_NV.shape[-1])
    return logits_NV[:, :common], Full(logits_NV=view.logits_NV[:, :common])


class _ElaTrainer(Trainer):
    """The Trainer with an objective in place of the model's own loss."""

    lesson: Lesson
    judge: Lesson
    """The lesson whose objective stays as it began: by one that moves, losses of two epochs would not compare."""
    sight: Sight
    dtype: torch.dtype | None
    check: Sequence[Item]
    parts: defaultdict[str, Tensor | float]
    """Of a loss of several, by name, since they were last told: the mean over the targets of each step, summed."""
    told: int = 0
    """The step when that was."""
    so_far: Tensor | float = 0.0
    """The loss of the step under way."""

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
        """A step's micro-batches, and how many targets (or pairs) are in them all."""
        serving = cast("Serving", self.data_collator)
        batches = [serving.batch(drawn["items"]) for drawn in islice(epoch_iterator, num_batches)]
        return batches, self._get_num_items_in_batch(batches, device)

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss divided by the targets (or pairs) of the whole step, not of the micro-batch."""
        if num_items_in_batch is None:
            raise RuntimeError("the Trainer did not count the step's targets: the loss would be a mean of means")
        loss = step_loss(model, inputs, self.lesson, self.sight, self.dtype)
        if len(loss.parts) > 1:
            for name, part in loss.parts.items():
                self.parts[name] += part / num_items_in_batch
        mean = loss.total / num_items_in_batch
        return (mean, {}) if return_outputs else mean

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """A micro-batch's share of the step's loss, which is looked at once a step.

        Raises: StudentError where it is not finite, before the weights go by it.
        """
        share = super().training_step(*args, **kwargs)
        self.so_far = self.so_far + share
        if self.accelerator.sync_gradients:  # the last of the step
            loss, self.so_far = float(self.so_far), 0.0
            if not isfinite(loss):
                told = f"the loss of step {self.state.global_step + 1} of {self.state.max_steps} is {loss}"
                raise _diverged(told, self.lesson.training)
        return share

    def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
        """What the Trainer tells of an epoch, and beside its loss what that is the sum of."""
        if "loss" in logs:
            steps, self.told = self.state.global_step - self.told, self.state.global_step
            if self.parts:
                logs["parts"] = {name: round(float(part) / steps, 6) for name, part in self.parts.items()}
            self.parts.clear()
        super().log(logs, start_time)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The validation loss: one sum over one count, whatever the micro-batches; nothing is fed."""
        model = cast("nn.Module", self.model)
        model.eval()
        total, count, size = 0.0, 0, self.args.per_device_eval_batch_size
        with torch.no_grad():
            for start in range(0, len(self.check), size):
                batch = self._prepare_inputs(cast("Any", packed(self.check[start : start + size], self.judge)))
                loss = step_loss(model, cast("Any", batch), self.judge, self.sight, self.dtype)
                total, count = total + float(loss.total), count + int(loss.count)
        cast("Serving", self.data_collator).validated(total / count)
        metrics = {"eval_loss": total / count}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _diverged(told: str, training: Training) -> StudentError:
    lower = f"lower training.learning_rate ({training.learning_rate:g})"
    return StudentError(f"training: {told}, and no student is saved; {lower}")


class _Report(TrainerCallback):
    def __init__(self, progress: Progress | None, serving: Serving) -> None:
        self.progress = progress
        self.serving = serving

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.serving.done = state.global_step / state.max_steps
        if self.progress:
            self.progress(self.serving.done)


class _OwnWeights(TrainerCallback):
    """Moves an objective's own weights whenever the student's have moved."""

    def __init__(self, weights: Sequence[Tensor], learning_rate: float) -> None:
        self.optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()


def _callbacks(
    training: Training, progress: Progress | None, serving: Serving, *, checked: bool
) -> list[TrainerCallback]:
    callbacks: list[TrainerCallback] = [_Report(progress, serving)]
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
    """Raises: StudentError under several processes: gradients would be averaged over them, and counts summed."""
    micro = min(training.micro_batch_size, training.batch_size)
    arguments = _OneDevice(
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
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    if arguments.world_size > 1:
        raise StudentError(f"training: {arguments.world_size} processes were started, and it runs in one; start one")
    return arguments
