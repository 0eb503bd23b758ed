"""Drafting against bare `transformers.generate`: same prompts, same batches, same sampling, in one run.

    python benchmarks/draft.py [--questions 64] [--batch 32] [--tokens 64] [--repeats 3]

Both sides generate the same number of tokens a prompt (end-of-text is switched off on both), turn
about, after one warm-up each. The last line is JSON; `ratio` is elad's tokens/s over bare tokens/s.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from elad.protocols import Prompt
from elad.records import Sampling, derive_seed
from elad.sample import folder
from elad.students.transformers import Transformers, TransformersStudent
from elad.tasks.numeric import Numeric
from elad.tasks.reading import read
from elad.training.rows import encode_prompt

TARGET = 0.9


def main() -> None:
    """Prints both rates and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    student = Transformers(batch_size=args.batch).open()
    student.tokenizer.eos_token = "<|endoftext|>"
    student.model.generation_config.eos_token_id = [student.tokenizer.eos_token_id]
    prompts = sample_prompts(args.questions)
    sampling = Sampling(temperature=0.7, max_tokens=args.tokens)
    sides: dict[str, Callable[[], int]] = {
        "elad": lambda: sum(one.tokens for one in student.generate(prompts, sampling)),
        "bare": lambda: bare(student, prompts, args.batch, args.tokens),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(args.repeats + 1):
        for name, side in sides.items():
            started = time.perf_counter()
            tokens = side()
            if turn:
                rates[name].append(tokens / (time.perf_counter() - started))
    ratios = [ours / theirs for ours, theirs in zip(rates["elad"], rates["bare"], strict=True)]
    for name, values in rates.items():
        print(f"{name}: {statistics.median(values):.1f} tokens/s of {[round(value, 1) for value in values]}")
    ratio = statistics.median(ratios)
    told = {"name": "draft", "ratio": round(ratio, 3), "target": TARGET, "met": ratio >= TARGET}
    print(json.dumps(told | {"runs": args.repeats, "spread": [round(min(ratios), 3), round(max(ratios), 3)]}))


def sample_prompts(count: int) -> list[Prompt]:
    """Prompts of the packaged sample, repeated until there are enough."""
    problems = read(["pool.jsonl"], columns={}, limit=None, base=folder())
    return [Prompt(messages=Numeric().messages(problems[i % len(problems)]), seed=derive_seed(i)) for i in range(count)]


def bare(student: TransformersStudent, prompts: list[Prompt], size: int, tokens: int) -> int:
    """What a user would write: length-sorted batches, left padding, `generate` with `do_sample`."""
    rows = sorted((encode_prompt(student.tokenizer, prompt) for prompt in prompts), key=len, reverse=True)
    made = 0
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        longest = max(map(len, batch))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in batch])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in batch])
        out = student.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            temperature=0.7,
            top_k=0,
            max_new_tokens=tokens,
            pad_token_id=0,
        )
        student.tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)
        made += out[:, longest:].numel()
    return made


if __name__ == "__main__":
    main()
