"""Inter scores (M continuations from before each step) against bare `transformers.generate`, in one run.

    python benchmarks/resample.py [--questions 32] [--samples 5] [--batch 32] [--repeats 3]

Both sides score the same chains of the demo's student after its warm-up, elad with what it has in mind from drafting
them, as a run does; elad ends a continuation once it has concluded and gone on, and is timed without that too
(`ratio_whole`, with a target of its own). The last line is JSON; `ratio` is bare seconds over elad's, `agreement` each
side's mean share of continuations that end in the chain's answer. These must be alike: `off` is their difference,
paired by chain, in standard errors, and `met` needs it within three; `apart` is its 95 % interval, which tells what
difference so few chains could have shown.
"""

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from bare import Bare, Patient, Recall, drafted, ratios, turns, warmed

from elad.records import StepScores
from elad.uncertainty.beliefs import scored
from elad.uncertainty.elad import Elad

TARGET, WHOLE_TARGET = 3.0, 2.0


def main() -> None:
    """Prints the times, their ratio and what the scores are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)  # what the bare side draws by; elad's draws have seeds of their own
    student, given = warmed(args.batch, args.tokens)
    chains = drafted(student, given, ["pool.jsonl"], args.questions)
    chains = [(problem, chain) for problem, chain in chains if chain.answer is not None]
    print(f"{len(chains)} chains have an answer that others can agree with")
    measure, scores = Elad(weight=0.0, samples=args.samples), dict[str, list[StepScores]]()
    sides: dict[str, Any] = {"elad": student, "whole": Patient(student), "bare": Bare(student, args.batch)}

    recall = Recall(student)

    def side(name: str) -> None:
        scores[name] = measure(chains, sides[name], given.task, 0)

    draft = {"draft": lambda: recall.drafted(given, ["pool.jsonl"], args.questions)}
    seconds = turns(draft | {name: lambda name=name: side(name) for name in sides}, args.repeats)
    found = ratios(seconds, "bare", "elad")
    ratio, whole = statistics.median(found), statistics.median(ratios(seconds, "bare", "whole"))
    shares = {
        name: [agreement(one, scored(chain)) for one, (_, chain) in zip(own, chains, strict=True)]
        for name, own in scores.items()
    }
    off, apart = difference(shares["elad"], shares["bare"])
    told = {"name": "resample", "ratio": round(ratio, 3), "target": TARGET, "ratio_whole": round(whole, 3)}
    told |= {"met": ratio >= TARGET and whole >= WHOLE_TARGET and abs(off) <= 3}
    told |= {"runs": args.repeats, "spread": [round(min(found), 3), round(max(found), 3)]}
    means = {name: round(statistics.fmean(own), 3) for name, own in shares.items()}
    print(json.dumps(told | {"agreement": means, "off": round(off, 2), "apart": apart}))


def agreement(scores: StepScores, steps: int) -> float:
    """The mean share, over the steps that are scored, of continuations that agree with the chain."""
    return 1 - statistics.fmean(scores.parts["inter"][:steps])


def difference(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, list[float]]:
    """The mean difference in units of its standard error, and its 95 % interval.

    In units it is 0 where all are equal, infinite where all differ alike.
    """
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    mean, spread = statistics.fmean(differences), statistics.stdev(differences) / len(differences) ** 0.5
    off = mean / spread if spread else math.copysign(math.inf, mean) if mean else 0.0
    return off, [round(mean - 1.96 * spread, 3), round(mean + 1.96 * spread, 3)]


if __name__ == "__main__":
    main()
