"""Entropy-style scores of a pool against lm-polygraph computing the same, in one run.

    python -m venv ENV && ENV/bin/pip install lm-polygraph
    ELAD_POLYGRAPH=ENV/bin/python python benchmarks/polygraph.py [--questions 48] [--batch 32] [--repeats 3]

The student is the demo's after its warm-up. Both sides write a greedy reply to each question and ten others drawn at
temperature 0.7 from the whole distribution, and score from these: elad `perplexity` and `entropy` (of the answers),
lm-polygraph, in an environment of its own, `Perplexity` and `MonteCarloSequenceEntropy` (of the texts), the entropy
that costs it least; the two entropies are not the same figure. elad ends a sample once it has concluded, which an
entropy of texts could not; `ratio_whole` is without that. The last line is JSON; `ratio` is lm-polygraph's seconds over
elad's, `agreement` the rank correlation of the two perplexities.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bare import Patient, drafted, ratios, turns, warmed

from elad.experiment import Experiment
from elad.students.transformers import Transformers, arithmetic
from elad.tasks.reading import read
from elad.uncertainty.entropy import Entropy
from elad.uncertainty.perplexity import Perplexity

TARGET = 2.0
SAMPLES = 10
TEMPERATURE = 0.7


def main() -> None:
    """Prints both times and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    student, given = warmed(args.batch, args.tokens)
    with tempfile.TemporaryDirectory() as scratch:
        folder = str(Path(scratch) / "model")
        student.model.save_pretrained(folder)
        student.tokenizer.save_pretrained(folder)
        seconds, agreement = compare(args, given, Path(scratch), folder)
    found = ratios(seconds, "lm-polygraph", "elad")
    ratio = statistics.median(found)
    told = {"name": "polygraph", "ratio": round(ratio, 3), "target": TARGET, "met": ratio >= TARGET and agreement > 0.9}
    told |= {"agreement": round(agreement, 3)}
    told |= {"ratio_whole": round(statistics.median(ratios(seconds, "lm-polygraph", "whole")), 3)}
    print(json.dumps(told | {"runs": args.repeats, "spread": [round(min(found), 3), round(max(found), 3)]}))


def compare(
    args: argparse.Namespace, given: Experiment, scratch: Path, folder: str
) -> tuple[dict[str, list[float]], float]:
    """Seconds of both sides, turn about, and how alike they rank the questions by perplexity."""
    student = Transformers(model=folder, batch_size=args.batch).open()
    problems = read(["pool.jsonl"], columns={}, limit=args.questions, base=given.base)
    template: Any = student.tokenizer
    prompts = [
        template.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in given.task.messages(problem)],
            tokenize=False,
            add_generation_prompt=True,
        )
        for problem in problems
    ]
    asked = {"model": folder, "prompts": prompts, "batch": args.batch, "tokens": args.tokens}
    asked |= {"dtype": arithmetic("auto")}
    (scratch / "asked.json").write_text(json.dumps(asked | {"temperature": TEMPERATURE}), encoding="utf-8")
    peer = Peer(scratch / "asked.json", len(prompts))

    ours: list[float] = []

    def elad(sampler: Any) -> None:
        drafts = drafted(student, given, ["pool.jsonl"], args.questions)
        ours[:] = [scores.aggregate for scores in Perplexity()(drafts, student, given.task, 0)]
        Entropy(samples=SAMPLES, temperature=TEMPERATURE)(drafts, sampler, given.task, 0)

    try:
        seconds = turns(
            {"elad": lambda: elad(student), "whole": lambda: elad(Patient(student)), "lm-polygraph": peer.turn},
            args.repeats,
        )
        return seconds, statistics.correlation(ranks(ours), ranks(peer.perplexities))
    finally:
        peer.close()


def ranks(values: list[float]) -> list[float]:
    """The place of each value among all, the mean of places where several are equal."""
    return [(sum(one < value for one in values) + sum(one <= value for one in values)) / 2 for value in values]


class Peer:
    """lm-polygraph in a process of its own, which waits between its turns."""

    def __init__(self, asked: Path, count: int) -> None:
        command = [os.environ["ELAD_POLYGRAPH"], str(Path(__file__).with_name("polygraph_peer.py")), str(asked)]
        self._count = count
        self.perplexities: list[float] = []
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._line("ready")

    def turn(self) -> None:
        """One pass over all questions."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.perplexities, entropies = json.loads(self._line("[["))
        scored = len(self.perplexities), len(entropies)
        assert scored == (self._count, self._count), f"lm-polygraph scored {scored} of {self._count}"

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()

    def _line(self, start: str) -> str:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit(f"lm-polygraph ended with {self._process.wait()}")


if __name__ == "__main__":
    main()
