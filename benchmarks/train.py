"""Training tokens a second and peak memory, against TRL's `SFTTrainer` on the same rows, in one run.

    pip install 'elad[train,bench]'
    python benchmarks/train.py [--rows 192] [--batch 16] [--micro 4] [--repeats 3] [--data FILE]...

SmolLM2-135M in the numbers that the machine multiplies itself, LoRA of rank 16 on all linear layers, one epoch over
chains of the packaged sample (their prompts and recorded rationales). Four sides, each in a process of its own, in
turns: elad, whose batch of 16 is four micro-batches of 4; TRL with its batch at once, which is what it does by default;
TRL with the same micro-batches; and TRL with these and the attention kernel that elad takes on a CPU (eager), where it
trains faster than TRL's default. A token is one of a row, prompt included, whatever is padded or shared. The last line
is JSON: `ratio` is elad's tokens a second over those of the fastest TRL, `memory` elad's peak over TRL's with the batch
at once, `memory_micro` over the least that TRL takes with micro-batches; `met` says whether all three meet their
targets and the losses agree.
"""

import argparse
import importlib
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from elad import sample
from elad.learning import Lesson
from elad.records import Example
from elad.settings import Training
from elad.students.transformers import Transformers, arithmetic
from elad.tasks.numeric import Numeric
from elad.tasks.reading import read
from elad.training.objectives.sft import Sft
from elad.training.rows import IGNORED, encode_example
from elad.training.trainer import train

TARGET, MEMORY_TARGET = 1.3, 0.5
ALIKE = 0.02
"""How far, as a share, the mean losses of an epoch may lie apart: the order of rows differs."""
SEED = 0


def main() -> None:
    """Prints what each turn took, and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=192)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--micro", type=int, default=4, help="rows at once, but for TRL's first side")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", action="append", help="files of questions with rationales")
    parser.add_argument("--side", choices=[*SIDES, *ALONE], help="one side alone, in this process")
    args = parser.parse_args()
    if args.side:
        print(json.dumps((SIDES | ALONE)[args.side](args)))
        return
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for turn in range(args.repeats):
        for side in sorted(SIDES, reverse=turn % 2 == 1):
            found[side].append(apart(side))
            print(side, found[side][-1], flush=True)
    print(json.dumps(verdict(found)))


def verdict(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What the turns of the sides say."""
    turns = [dict(zip(found, rows, strict=True)) for rows in zip(*found.values(), strict=True)]
    ratios = [one["elad"]["tokens_per_second"] / max(one[trl]["tokens_per_second"] for trl in TRL) for one in turns]
    ratio = statistics.median(ratios)
    memory = {trl: statistics.median(one["elad"]["peak_mib"] / one[trl]["peak_mib"] for one in turns) for trl in TRL}
    off = max(abs(one["elad"]["loss"] / one[trl]["loss"] - 1) for one in turns for trl in TRL)
    micro = max(memory["trl_micro"], memory["trl_eager"])
    met = ratio >= TARGET and max(memory["trl"], micro) <= MEMORY_TARGET and off <= ALIKE
    told = {"name": "train", "ratio": round(ratio, 3), "target": TARGET, "memory": round(memory["trl"], 3)}
    told |= {"memory_target": MEMORY_TARGET, "memory_micro": round(micro, 3), "met": met}
    told |= {"losses_off": round(off, 4), "runs": len(turns)}
    return told | {"spread": [round(min(ratios), 3), round(max(ratios), 3)], "sides": found}


def apart(side: str) -> dict[str, Any]:
    """One side in a process of its own."""
    done = subprocess.run([sys.executable, *sys.argv, "--side", side], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def examples(args: argparse.Namespace) -> list[Example]:
    """Rows in an order drawn once, the same for all sides."""
    task = Numeric()
    files = args.data or [str(sample.folder() / name) for name in ("pool.jsonl", "heldout.jsonl")]
    problems = [problem for problem in read(files, columns={}, limit=None, base=Path()) if problem.rationale]
    random.Random(SEED).shuffle(problems)
    return [
        Example(
            problem_id=problem.id,
            messages=task.messages(problem),
            target=f"{problem.rationale}\n{task.conclusion(problem, problem.answer or '')}",
            source="warmup",
        )
        for problem in problems[: args.rows]
    ]


def elad(args: argparse.Namespace, *, compiled: bool = False) -> dict[str, Any]:
    """Our trainer, with its defaults but for the size of the steps."""
    student, rows = Transformers().open(), examples(args)
    model, _ = student.trainable()
    if compiled:
        model.forward = torch.compile(model.forward, dynamic=True)
    training = Training(epochs=1, batch_size=args.batch, micro_batch_size=args.micro)
    began = time.monotonic()
    lesson = Lesson(objective=Sft(), training=training, seed=SEED)
    summary = train(model, student.tokenizer, rows, lesson, write=student.writer(model))
    return measured(rows, student.tokenizer, time.monotonic() - began, summary["losses"][-1])


def elad_compiled(args: argparse.Namespace) -> dict[str, Any]:
    """Ours through `torch.compile`, for sizes that change; its seconds have the compiling in them."""
    return elad(args, compiled=True)


def trl(args: argparse.Namespace) -> dict[str, Any]:
    """TRL's, a batch at once."""
    return trl_by(args, args.batch)


def trl_micro(args: argparse.Namespace) -> dict[str, Any]:
    """TRL's, a batch in micro-batches as ours."""
    return trl_by(args, args.micro)


def trl_eager(args: argparse.Namespace) -> dict[str, Any]:
    """TRL's, in micro-batches and with attention as ours."""
    return trl_by(args, args.micro, "eager")


def trl_by(args: argparse.Namespace, micro: int, kernel: str | None = None) -> dict[str, Any]:
    """TRL's, on the rows as we encode them, with loss on the completion, `micro` rows at once."""
    from datasets import Dataset

    library: Any = importlib.import_module("trl")
    student, rows = Transformers().open(), examples(args)
    (model, _), tokenizer = student.trainable(), student.tokenizer
    del student  # its weights are no part of what TRL takes
    if kernel:
        model.set_attn_implementation(kernel)
    encoded = [encode_example(tokenizer, row) for row in rows]
    columns = [
        {
            "input_ids": list(row.ids),
            "labels": [IGNORED] * row.target_start + list(row.ids[row.target_start :]),
        }
        for row in encoded
    ]
    with tempfile.TemporaryDirectory() as scratch:
        config = library.SFTConfig(
            output_dir=scratch, num_train_epochs=1, per_device_train_batch_size=micro,
            gradient_accumulation_steps=args.batch // micro, learning_rate=1e-3,
            lr_scheduler_type="cosine", warmup_steps=0.05, weight_decay=0.0,
            bf16=arithmetic("auto") == "bfloat16", use_cpu=not torch.cuda.is_available(),
            gradient_checkpointing=False, max_length=512,
            dataset_kwargs={"skip_prepare_dataset": True}, remove_unused_columns=False, dataloader_pin_memory=False,
            report_to="none", disable_tqdm=True, save_strategy="no", logging_strategy="epoch", seed=SEED,
        )  # fmt: skip
        trainer = library.SFTTrainer(
            model=model, args=config, train_dataset=Dataset.from_list(columns), processing_class=tokenizer
        )
        began = time.monotonic()
        result = trainer.train()
    return measured(rows, tokenizer, time.monotonic() - began, result.training_loss)


def measured(rows: Sequence[Example], tokenizer: Any, seconds: float, loss: float) -> dict[str, Any]:
    """Rate, peak and loss of one side."""
    tokens = sum(len(encode_example(tokenizer, row)) for row in rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "tokens_per_second": round(tokens / seconds, 1),
        "seconds": round(seconds, 1),
        "peak_mib": round(peak),
        "loss": round(loss, 4),
        "rows": len(rows),
    }


SIDES = {"elad": elad, "trl": trl, "trl_micro": trl_micro, "trl_eager": trl_eager}
ALONE = {"elad_compiled": elad_compiled}
"""Sides that are run by name only, beside the same command with `--side elad`."""
TRL = ("trl", "trl_micro", "trl_eager")


if __name__ == "__main__":
    main()
