"""Drafting against bare `transformers.generate`: the same questions, sampling and student, turn about in one run.

    python benchmarks/draft.py [--questions 120] [--batch 32] [--tokens 64] [--bare 8 16] [--fixed] [--model FOLDER]

The student is the demo's after its warm-up, whose replies end by themselves at different lengths; with `--fixed`
none ends before its bound. The bare side has that of the batch sizes which is best for it in a turn that is not
counted, after one that is not looked at.
The last line is JSON; `ratio` is elad's tokens/s over bare tokens/s.
"""

import argparse
import json
import statistics

from bare import Bare, choose_model, drafted, seconds_of, turns, warmed, without_end

BATCHES = (8, 16, 32, 64)
SOURCE = ["pool.jsonl"]
TARGET = {"ragged": 1.3, "fixed": 0.9}


def main() -> None:
    """Prints both times and the ratio of the rates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--batch", type=int, default=32, help="rows that elad decodes side by side")
    parser.add_argument("--bare", type=int, nargs="+", default=BATCHES, help="batch sizes that the bare side may have")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fixed", action="store_true")
    choose_model(parser)
    args = parser.parse_args()
    student, given = warmed(args.batch, args.tokens, args.model)
    given = given.but(["drafting.temperature=0.7"])
    if args.fixed:
        without_end(student)
    drafted(Bare(student, BATCHES[0]), given, SOURCE, args.questions)
    best = min(
        args.bare, key=lambda size: seconds_of(lambda: drafted(Bare(student, size), given, SOURCE, args.questions))
    )
    print(f"bare: batches of {best}")
    tokens: dict[str, list[int]] = {"elad": [], "bare": []}

    def side(name: str, one: object) -> None:
        made = drafted(one, given, SOURCE, args.questions)
        tokens[name].append(sum(chain.tokens for _, chain in made))

    sides = {"elad": student, "bare": Bare(student, best)}
    seconds = turns({name: lambda name=name, one=one: side(name, one) for name, one in sides.items()}, args.repeats)
    rates = {name: [made / took for made, took in zip(tokens[name][1:], seconds[name], strict=True)] for name in sides}
    for name, values in rates.items():
        print(f"{name}: {statistics.median(values):.1f} tokens/s")
    found = [ours / theirs for ours, theirs in zip(rates["elad"], rates["bare"], strict=True)]
    ratio, target = statistics.median(found), TARGET["fixed" if args.fixed else "ragged"]
    told = {"name": "draft", "ratio": round(ratio, 3), "target": target, "met": ratio >= target}
    told |= {"bare_batch": best}
    print(json.dumps(told | {"runs": args.repeats, "spread": [round(min(found), 3), round(max(found), 3)]}))


if __name__ == "__main__":
    main()
