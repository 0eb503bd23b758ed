"""The student's part of a round (draft, score, evaluate) against the same by bare `transformers`, in one run.

    python benchmarks/round.py [--questions 32] [--heldout 16] [--samples 5] [--batch 32] [--repeats 2] [--model FOLDER]

Both sides draft, score (intra and inter, M continuations) and answer the same questions with the demo's student
after its warm-up. Training is `benchmarks/train.py`; the teacher's time is its own. The last line is JSON; `ratio` is
bare seconds over elad's, `stages` the seconds of each stage, and the share of the round that scoring takes.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from contextlib import nullcontext
from typing import Any

from bare import Bare, choose_model, drafted, ratios, turns, warmed

from elad.uncertainty.elad import Elad

TARGET = 2.0


def main() -> None:
    """Prints the times by stage and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--heldout", type=int, default=16)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2)
    choose_model(parser)
    args = parser.parse_args()
    student, given = warmed(args.batch, args.tokens, args.model)
    measure = Elad(samples=args.samples)
    stages: dict[str, dict[str, list[float]]] = {"elad": defaultdict(list), "bare": defaultdict(list)}

    def side(name: str, one: Any) -> None:
        at = time.perf_counter()

        def stage(stage: str) -> None:
            nonlocal at
            began, at = at, time.perf_counter()
            stages[name][stage].append(at - began)

        with one.remembering() if hasattr(one, "remembering") else nullcontext():
            chains = drafted(one, given, ["pool.jsonl"], args.questions)
            stage("draft")
            measure(chains, one, given.task, 0)
            stage("score")
        drafted(one, given, ["heldout.jsonl"], args.heldout)
        stage("evaluate")

    sides = {"elad": student, "bare": Bare(student, args.batch)}
    seconds = turns({name: lambda name=name, one=one: side(name, one) for name, one in sides.items()}, args.repeats)
    found = ratios(seconds, "bare", "elad")
    ratio = statistics.median(found)
    told = {"name": "round", "ratio": round(ratio, 3), "target": TARGET, "met": ratio >= TARGET, "runs": args.repeats}
    told |= {"spread": [round(min(found), 3), round(max(found), 3)]}
    medians = {
        name: {stage: round(statistics.median(values[1:]), 2) for stage, values in own.items()}
        for name, own in stages.items()
    }
    scoring = {name: round(own["score"] / sum(own.values()), 3) for name, own in medians.items()}
    print(json.dumps(told | {"stages": medians, "scoring_share": scoring}))


if __name__ == "__main__":
    main()
