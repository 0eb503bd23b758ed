"""The vllm engine against bare vLLM (`LLM.generate`), on the same prompts, turn about in one run.

    python benchmarks/vllm.py --python /opt/vllm/bin/python [--questions 120] [--tokens 64] [--flight 128] [--repeats 3]

`--python` is that of the environment with vLLM, by default what ELAD_VLLM names. Each side has an engine of its own
with the same settings, which waits while it is the other's turn. Replies are greedy and end by themselves or at their
bound. Bare vLLM is given token ids and is not asked for log-probabilities; on a processor both have the model runner
that elad's server needs there. The sides take turns at going first, and no turn's questions are those of another.
The last line is JSON; `ratio` is elad's tokens/s over bare tokens/s.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from typing import Any

from elad import sample
from elad.asks import Prompt
from elad.records import Message, Sampling
from elad.students.models import model_folder
from elad.students.served import VllmStudent
from elad.students.vllm import Vllm
from elad.training.rows import encode_prompt

TARGET = 0.9
BARE = """
import json, sys, time
from vllm import LLM, SamplingParams

llm = LLM(**json.loads(sys.stdin.readline()))
for line in sys.stdin:
    asked = json.loads(line)
    prompts = [{"prompt_token_ids": row} for row in asked["rows"]]
    began = time.perf_counter()
    made = llm.generate(prompts, SamplingParams(**asked["sampling"]), use_tqdm=False)
    seconds = time.perf_counter() - began
    print("turn", seconds, sum(len(one.outputs[0].token_ids) for one in made), flush=True)
"""


class Bare:
    """`LLM.generate` in a process of vLLM's environment."""

    def __init__(self, python: str, told: dict[str, Any], *, draws: bool) -> None:
        self._process = subprocess.Popen(
            [python, "-c", BARE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=tempfile.gettempdir(),
            env=os.environ | ({"VLLM_USE_V2_MODEL_RUNNER": "0"} if draws else {}),
        )
        self._send(told)

    def turn(self, rows: list[list[int]], sampling: dict[str, Any]) -> tuple[float, int]:
        """Seconds by its own clock, and tokens."""
        self._send({"rows": rows, "sampling": sampling})
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("turn "):
                _, seconds, tokens = line.split()
                return float(seconds), int(tokens)
        raise SystemExit("bare vLLM ended before it answered")

    def close(self) -> None:
        """Lets it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _send(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)


def asked(turn: int, count: int) -> list[Prompt]:
    """The first questions of the packaged pool, each put so that it begins as in no other turn."""
    lines = (sample.folder() / "pool.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(lines[i % len(lines)])["question"] for i in range(count)]
    texts = [f"Exercise {turn}.{i}. {question}\nExplain step by step." for i, question in enumerate(questions)]
    return [Prompt(messages=(Message(role="user", content=text),), seed=i) for i, text in enumerate(texts)]


def engine(student: VllmStudent, prompts: list[Prompt], bound: int) -> tuple[float, int]:
    """Seconds that the engine takes for the prompts, and tokens."""
    began = time.perf_counter()
    made = student.generate(prompts, Sampling(max_tokens=bound))
    return time.perf_counter() - began, sum(one.tokens for one in made)


def main() -> None:
    """Prints each turn's rates and the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", default=os.environ.get("ELAD_VLLM"), help="by default what ELAD_VLLM names")
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--flight", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    if not args.python:
        parser.error("--python: needed where ELAD_VLLM names none")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")  # of each side; alone, either would take all memory
    student = Vllm(python=args.python, concurrency=args.flight).open()
    student.generate(asked(0, args.flight), Sampling(max_tokens=8))  # before the other's engine takes its memory
    told = {"model": str(model_folder(student.settings.model)), "dtype": student.settings.numbers}
    bare = Bare(
        args.python,
        told | {"max_model_len": student.context, "max_num_seqs": args.flight},
        draws=student.settings.draws,
    )
    rates: dict[str, list[float]] = {"elad": [], "bare": []}
    for turn in range(1, args.repeats + 2):
        prompts = asked(turn, args.questions)
        rows = [encode_prompt(student.tokenizer, prompt) for prompt in prompts]
        sampling = {"temperature": 0.0, "max_tokens": args.tokens, "stop_token_ids": sorted(student.ends)}
        sides = {
            "elad": lambda prompts=prompts: engine(student, prompts, args.tokens),
            "bare": lambda rows=rows, sampling=sampling: bare.turn(rows, sampling),
        }
        for name in sorted(sides, reverse=turn % 2 == 0):
            seconds, tokens = sides[name]()
            rate = tokens / seconds
            print(f"turn {turn}, {name}: {tokens} tokens in {seconds:.1f} s, {rate:.1f} tokens/s", flush=True)
            rates[name] += [rate] if turn > 1 else []
    bare.close()
    student.close()
    found = [ours / theirs for ours, theirs in zip(rates["elad"], rates["bare"], strict=True)]
    ratio = statistics.median(found)
    told = {"name": "vllm", "ratio": round(ratio, 3), "target": TARGET, "met": ratio >= TARGET}
    print(json.dumps(told | {"runs": args.repeats, "spread": [round(min(found), 3), round(max(found), 3)]}))


if __name__ == "__main__":
    main()
