"""Intra scores (the conclusion after each step) against the same probes by bare transformers, in one run.

    python benchmarks/probe.py [--questions 64] [--batch 32] [--repeats 3] [--no-guess] [--model FOLDER]
    python benchmarks/probe.py --task choice [--data ../shared/data/strategyqa/test.jsonl.gz]

Without data, a choice question is one of the packaged sample with its answer among three other numbers.
All sides score the same chains of the demo's student after its warm-up: elad with what it has in mind from drafting
them, as a run does; elad alone, from their texts; and bare transformers, which like elad writes no more of an answer
once its line has ended. The last line is JSON; `ratio` is bare seconds over elad's, `ratio_alone` over those of elad
alone, each with a target of its own; `of_drafting` the share of elad's seconds in those of drafting the chains; `read`
the tokens of all prompts as the bare side reads them over those of the chains' trees, which nothing that only reads
can be faster by; `steps` how many a chain has. With `--no-guess` elad is not told what a conclusion is likely to
be.
"""

import argparse
import json
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bare import Bare, Recall, choose_model, drafted, ratios, turns, warmed

from elad.asks import Generation, Prompt
from elad.experiment import Experiment
from elad.packing.tree import packs
from elad.records import Sampling
from elad.students.decoding import PACK
from elad.tasks.reading import read
from elad.training.rows import encode_prompt
from elad.uncertainty.beliefs import scored
from elad.uncertainty.elad import Elad

TARGET, ALONE_TARGET = 8.0, 5.0
OF_DRAFTING = {"numeric": 0.35, "choice": 0.15}


class Unguided:
    """A student that is told no guess, with what it has in mind."""

    def __init__(self, student: Any) -> None:
        self._student = student

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        """What it writes, token by token."""
        return self._student.generate([replace(prompt, guess="") for prompt in prompts], sampling, until)

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """As it does: options are weighed without a guess."""
        return self._student.score(pairs)


def main() -> None:
    """Prints the times and their ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--task", choices=OF_DRAFTING, default="numeric")
    parser.add_argument("--data", action="append")
    parser.add_argument("--no-guess", action="store_true", help="probes bring no guess along")
    choose_model(parser)
    args = parser.parse_args()
    student, given = warmed(args.batch, args.tokens, args.model)
    given = given.but(task={"kind": args.task})
    with tempfile.TemporaryDirectory() as scratch:
        made = offered(given, Path(scratch) / "choices.jsonl") if args.task == "choice" else "pool.jsonl"
        compare(args, student, given, args.data or [made])


def compare(args: argparse.Namespace, student: Any, given: Experiment, source: list[str]) -> None:
    """Times both sides on the same chains."""
    chains = drafted(student, given, source, args.questions)
    bare: Any = Bare(student, args.batch, stops=True)
    measure = Elad(weight=1.0)
    recall = Recall(student)
    asked: Any = Unguided(student) if args.no_guess else student

    def alone() -> None:
        recall.close()
        measure(chains, asked, given.task, 0)

    seconds = turns(
        {
            "draft": lambda: recall.drafted(given, source, args.questions),
            "elad": lambda: measure(chains, asked, given.task, 0),
            "alone": alone,
            "bare": lambda: measure(chains, bare, given.task, 0),
        },
        args.repeats,
    )
    found, share = ratios(seconds, "bare", "elad"), statistics.median(ratios(seconds, "elad", "draft"))
    ratio, most = statistics.median(found), OF_DRAFTING[args.task]
    by_itself = statistics.median(ratios(seconds, "bare", "alone"))
    met = ratio >= TARGET and by_itself >= ALONE_TARGET and share <= most
    told = {"name": "probe", "ratio": round(ratio, 3), "target": TARGET, "met": met, "ratio_alone": round(by_itself, 3)}
    told |= {"runs": args.repeats, "spread": [round(min(found), 3), round(max(found), 3)]}
    told |= {"task": args.task, "guess": not args.no_guess, "of_drafting": round(share, 3), "of_drafting_target": most}
    steps = statistics.fmean(scored(chain) for _, chain in chains)
    print(json.dumps(told | {"read": round(read_twice(student, chains, given, measure), 2), "steps": round(steps, 2)}))


class Overheard:
    """A student that is asked and remembers the prompts."""

    def __init__(self, student: Any) -> None:
        self.student = student
        self.prompts: list[Prompt] = []

    def generate(self, prompts: Sequence[Prompt], *rest: Any, **named: Any) -> Any:
        """What the student writes."""
        self.prompts += prompts
        return self.student.generate(prompts, *rest, **named)

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> Any:
        """What the student says."""
        self.prompts += dict.fromkeys(prompt for prompt, _ in pairs)
        return self.student.score(pairs)


def read_twice(student: Any, chains: Any, given: Experiment, measure: Elad) -> float:
    """How many times as many tokens the probes' prompts have as the trees that they make."""
    heard: Any = Overheard(student)
    measure(chains, heard, given.task, 0)
    rows = [encode_prompt(student.tokenizer, prompt) for prompt in heard.prompts]
    return sum(map(len, rows)) / sum(len(tree.tokens) for tree in packs(rows, PACK))


def offered(given: Experiment, target: Path) -> str:
    """A file of the packaged questions with four numbers to choose from."""
    rng = random.Random(0)
    with target.open("w", encoding="utf-8") as file:
        for problem in read(["pool.jsonl"], columns={}, limit=None, base=given.base):
            right = int(float(problem.answer or "0"))
            others = rng.sample([n for n in range(max(0, right - 20), right + 20) if n != right], 3)
            choices = list(map(str, sorted([right, *others])))
            row = {"id": problem.id, "question": problem.question, "choices": choices, "answer": str(right)}
            file.write(json.dumps(row) + "\n")
    return str(target)


if __name__ == "__main__":
    main()
