"""Does a student's uncertainty tell which step of a given chain is the first wrong one, as people marked it?

    python benchmarks/step_scores.py --data ../shared/data/steps_processbench/test.jsonl.gz --subtask gsm8k
    python benchmarks/step_scores.py --data ... --student qwen2.5-coder-0.5b --chains 200 --samples 5

A balanced sample of wrong and right chains is scored, none of them written by the student, who is not trained. A step
counts as wrong where it is the first wrong one, and as right before that; what comes after it is left out. Each score
is told by its area under the ROC curve over all steps, with a percentile interval from resampling whole chains, beside
that of the step's place in the chain, of its length and of a lot: what a score must beat. `found` is the share of wrong
chains whose highest step is the first wrong one. Scores by conclusions say nothing of a chain whose own conclusion
cannot be read: how many can is told. Rows lie in OUT/rows.jsonl, one a chain, and what the same student and settings
have scored already is not scored again. The last line is JSON; `ratio` is the area of ELAD's score over that of
`token_entropy`, the mean entropy of the step's tokens.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, TypeAlias

from rich.console import Console

from elad.evaluation.calibration import auroc
from elad.evaluation.intervals import quantile
from elad.evaluation.step_labels import Labelled, read_labelled
from elad.kinds import build, describe
from elad.protocols import Student, Uncertainty
from elad.records import StepScores, digest
from elad.report.console import ConsoleProgress
from elad.students.transformers import Transformers
from elad.tasks.sources import rows as rows_of
from elad.uncertainty.beliefs import scored

TARGET = 1.0
RESAMPLES = 1000
BASELINE = "token_entropy"
Row: TypeAlias = dict[str, Any]
Values: TypeAlias = dict[str, list[float]]
"""By score, the value of each step up to the first wrong one."""


def main() -> None:
    """Prints a Markdown table and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--subtask", help="only rows of this one")
    parser.add_argument("--task", default="numeric", help="the family that reads the chains' conclusions")
    parser.add_argument("--student", default="smollm2-135m")
    parser.add_argument("--chains", type=int, default=100)
    parser.add_argument("--most-steps", type=int, default=12, help="chains of more are left out")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=16, help="of an answer that is asked for")
    parser.add_argument("--chunk", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/step_scores"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "rows.jsonl"
    told = kept.read_text("utf-8").splitlines() if kept.exists() else []
    student = Transformers(model=args.student).open()
    scores = {name: describe(measure) for name, (measure, _) in measures(args).items()}
    made_by = digest([student.id, args.task, args.seed, scores])
    known = {row["id"]: row for row in map(json.loads, told) if row["of"] == made_by}
    chains = read(args)
    missing = [one for one in chains if one.candidate.problem.id not in known]
    if missing:
        with (
            kept.open("a", encoding="utf-8") as file,
            ConsoleProgress(Console(stderr=True)).stage(0, "score", len(missing)) as advance,
        ):
            for row in scored_rows(missing, student, args):
                known[row["id"]] = row
                print(json.dumps(row | {"of": made_by}), file=file, flush=True)
                advance(1)
    rows = [known[one.candidate.problem.id] for one in chains]
    found = [verdict(name, rows, args.seed) for name in rows[0]["scores"]]
    show(found, rows, args)


def read(args: argparse.Namespace) -> list[Labelled]:
    """The sample: half of it wrong where there are as many."""
    task = build("elad.tasks", args.task, "--task")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "labelled.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for _, row in rows_of(args.data, Path()):
                if args.subtask in (None, row.get("subtask")) and len(row["steps"]) <= args.most_steps:
                    # Nothing here looks at the gold answer; a row without one would be left out.
                    print(json.dumps({**row, "answer": row.get("answer") or "0"}), file=file)
        return read_labelled([str(path)], task, references={}, limit=args.chains, seed=args.seed)[0]


def measures(args: argparse.Namespace) -> dict[str, tuple[Uncertainty, Callable[[StepScores], Sequence[float]]]]:
    """By name, a score and what of it counts as a step's value."""
    made = {"samples": args.samples, "probe_tokens": args.tokens}

    def elad(**settings: Any) -> Uncertainty:
        return build("elad.uncertainty", {"kind": "elad", **made, **settings}, "uncertainty")

    def steps(scores: StepScores) -> Sequence[float]:
        return scores.steps

    return {
        "elad": (elad(), steps),
        "soft": (elad(soft=True, weight=1.0), steps),
        "settled": (elad(settled=True, weight=1.0), steps),
        "leave_one_out": (elad(intra="leave_one_out", weight=1.0), steps),
        "perplexity": (build("elad.uncertainty", "perplexity", "uncertainty"), steps),
        BASELINE: (build("elad.uncertainty", BASELINE, "uncertainty"), steps),
    }


def scored_rows(chains: Sequence[Labelled], student: Student, args: argparse.Namespace) -> Iterator[Row]:
    """Each chain's row, as soon as its chunk is scored."""
    task = build("elad.tasks", args.task, "--task")
    for start in range(0, len(chains), args.chunk):
        part = chains[start : start + args.chunk]
        drafts = [(one.candidate.problem, one.candidate.chain) for one in part]
        by_score: dict[str, list[Sequence[float]]] = {}
        for name, (measure, look) in measures(args).items():
            found = measure(drafts, student, task, args.seed)
            by_score[name] = [look(scores) for scores in found]
            if name == "elad":
                by_score |= {key: [scores.parts[key] for scores in found] for key in ("intra", "inter")}
        for place, one in enumerate(part):
            yield row_of(one, {name: values[place] for name, values in by_score.items()})


def row_of(one: Labelled, values: dict[str, Sequence[float]]) -> Row:
    """A chain's scores up to its first wrong step, and what they are held against."""
    chain, problem = one.candidate.chain, one.candidate.problem
    upto = scored(chain) if one.first_error is None else min(scored(chain), one.first_error + 1)
    rng = Random(problem.id)
    scores: Values = {name: [round(value, 6) for value in own[:upto]] for name, own in values.items()}
    scores["place"] = [place / len(chain.steps) for place in range(upto)]
    scores["length"] = [float(len(step.text)) for step in chain.steps[:upto]]
    scores["lot"] = [rng.random() for _ in range(upto)]
    readable = chain.answer is not None
    told = {"id": problem.id, "first_error": one.first_error, "steps": len(chain.steps), "readable": readable}
    return told | {"scores": scores}


def pairs(name: str, rows: Sequence[Row]) -> list[tuple[float, bool]]:
    """Each step's value, and whether it is the first wrong one."""
    return [(value, place == row["first_error"]) for row in rows for place, value in enumerate(row["scores"][name])]


def verdict(name: str, rows: Sequence[Row], seed: int) -> Row:
    """How well a score tells, with the interval of its area and of what it has above that of `BASELINE`."""
    rng = Random(seed)  # the same chains are drawn for every score
    areas: list[float] = []
    above: list[float] = []
    for _ in range(RESAMPLES):
        drawn = rng.choices(rows, k=len(rows))
        area, other = auroc(pairs(name, drawn)), auroc(pairs(BASELINE, drawn))
        if area is not None and other is not None:
            areas.append(area)
            above.append(area - other)
    wrong = [row for row in rows if row["first_error"] is not None and len(row["scores"][name]) > row["first_error"]]
    hits = [hit(row["scores"][name]) for row in wrong]
    questions = auroc([(max(row["scores"][name], default=1.0), row["first_error"] is not None) for row in rows])
    return {
        "score": name,
        "auroc": rounded(auroc(pairs(name, rows))),
        "interval": interval(areas),
        "above_baseline": interval(above),
        "found": rounded(fmean(hits) if hits else None),
        "questions": rounded(questions),
    }


def hit(values: Sequence[float]) -> float:
    """1 where the last step is the highest; of several that are, its share."""
    return float(values[-1] == max(values)) / values.count(max(values))


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Of 95 %."""
    ordered = sorted(values)
    return (round(quantile(ordered, 0.025), 3), round(quantile(ordered, 0.975), 3)) if ordered else None


def rounded(value: float | None) -> float | None:
    """To three places."""
    return None if value is None else round(value, 3)


def show(found: Sequence[Row], rows: Sequence[Row], args: argparse.Namespace) -> None:
    """The table and the last line."""
    print(f"{args.student}:")
    show_verdicts(found, rows)
    areas = {one["score"]: one["auroc"] for one in found}
    ratio = areas["elad"] / areas[BASELINE] if areas[BASELINE] else 0.0
    spread = next(one["above_baseline"] for one in found if one["score"] == "elad")
    met = spread is not None and spread[0] > 0
    told = {"name": "step_scores", "ratio": round(ratio, 3), "target": TARGET, "met": met, "runs": len(rows)}
    print(json.dumps(told | {"spread": spread, "student": args.student, "scores": found}))


def show_verdicts(found: Sequence[Row], rows: Sequence[Row]) -> None:
    """The table."""
    groups = {"wrong": [row for row in rows if row["first_error"] is not None]}
    groups["right"] = [row for row in rows if row["first_error"] is None]
    told = [f"{len(of)} {name} ones ({sum(row['readable'] for row in of)} readable)" for name, of in groups.items()]
    steps = sum(len(row["scores"][BASELINE]) for row in rows)
    print(f"{len(rows)} chains, {' and '.join(told)}, {steps} steps up to the first wrong one\n")
    print(
        f"| score | AUROC of steps | 95 % | above `{BASELINE}` | first error is highest | AUROC of chains (maximum) |"
    )
    print("|---|--:|---|---|--:|--:|")
    for one in found:
        low, high = one["interval"] or ("", "")
        less, more = one["above_baseline"] or ("", "")
        print(
            f"| `{one['score']}` | {one['auroc']} | {low} to {high} | {less} to {more} | {one['found']}"
            f" | {one['questions']} |"
        )


if __name__ == "__main__":
    main()
