"""Which score tells a student's wrong answers best, for the tokens and the time that it takes?

    python benchmarks/chain_scores.py                          # 400 warm-up rows, 200 questions, the 135M student
    python benchmarks/chain_scores.py --warmup 8 --epochs 1 --questions 6 --out runs/tiny

Needs the real data beside the checkout (`../shared/data`). The student is trained once on recorded rationales, drafts
questions that it has not seen, and all scores look at the same drafts. Nothing is drawn twice: a score that takes k
samples, or M continuations a step, has the first of what those that take more have, and is charged with these alone.
`sampled` are the tokens that were written for a score (the draft's own are not among them), `read` those of its
prompts, beginnings in common counted once, and `seconds` its share of the calls, by the tokens.

A score is told by the area under the ROC curve (AUROC) of "the draft is wrong", with a percentile interval from
resampling questions, and held against `disagreement` at the number of samples that comes nearest to it, once in
sampled tokens and once in seconds, where that is within a tenth of it; these intervals are paired. Half of the
questions, by lot, is there to choose by, and the other half says what the choice comes to. The steps of all drafts are
told by how well a score finds the first wrong one, as the teacher `reference` names it from the gold answer and the
recorded explanation (`step_scores.py` has the table's columns). Rows lie in OUT/rows.jsonl, one a question, and those
of the same student and scores are not made again. The last line is JSON; `ratio` is the area of the ELAD score that was
chosen over that of `disagreement` at as many tokens, in the other half, and `spread` the interval of the difference.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, TypeAlias

from arms import COMMON, SETTINGS
from evidence import cells_of, read_rows
from metered import COSTS, Asked, Metered, cost
from rich.console import Console
from step_scores import RESAMPLES, interval, rounded, show_verdicts
from step_scores import verdict as of_steps

from elad.evaluation.calibration import auroc
from elad.experiment import Experiment
from elad.kinds import build, describe
from elad.protocols import Uncertainty
from elad.records import Chain, Problem, digest
from elad.report.console import ConsoleProgress
from elad.stages.drafting import chains
from elad.stages.learning import learn
from elad.teachers.finding import first_wrong_step
from elad.training.rows import encode_prompt
from elad.uncertainty.beliefs import scored
from elad.uncertainty.elad import Elad
from elad.world import World

TARGET = 1.0
WEIGHTS = (0.0, 0.25, 0.5, 0.75)
"""lambda of the mixtures; at 0 there are only continuations."""
AGGREGATES = ("mean", "max")
INTRA: dict[str, dict[str, Any]] = {
    "prefix": {},
    "settled": {"settled": True},
    "soft": {"soft": True},
    "leave_one_out": {"intra": "leave_one_out"},
}
STEPWISE = ("elad M", "prefix", "perplexity", "token_entropy")
"""How the names of scores begin by whose steps the first wrong one is looked for; of two that differ by the aggregate
alone it is the mean's."""
NEAR = 0.1
"""By how much of it a cost may differ and still count as the same."""
FEW = 20
"""A place that fewer chains have is not told of."""
Row: TypeAlias = dict[str, Any]
Draft: TypeAlias = tuple[Problem, Chain]


def main() -> None:
    """Prints Markdown tables and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--setting", choices=sorted(SETTINGS), default="words_given", help="of evidence.py")
    parser.add_argument("--warmup", type=int, default=400, help="rows that the student is trained on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--samples", type=int, nargs="+", default=[2, 5, 10], help="k: full samples of a question")
    parser.add_argument("--most", type=int, default=15, help="full samples that `disagreement` has at most")
    parser.add_argument("--continuations", type=int, nargs="+", default=[1, 2, 5], help="M: a step")
    parser.add_argument("--chunk", type=int, default=32, help="questions that are scored side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/chain_scores"))
    args = parser.parse_args()
    rows = made_rows(args)
    halves = split(rows, args.seed)
    show(rows, [[line for line in table(half, args.seed) if wanted(line, args)] for half in halves], halves, args)


def made_rows(args: argparse.Namespace) -> list[Row]:
    """The row of each question, those that lie in OUT already and those that do not."""
    sizes = {"warmup": args.warmup, "pool": args.questions, "heldout": 2}
    run = argparse.Namespace(
        out=args.out, setting=args.setting, heldout="validation", aside=False, seeds=[args.seed], arms=["random"]
    )
    (cell,) = cells_of(run, {"sizes": sizes, "training": COMMON["training"] | {"epochs": args.epochs}})
    kept, console = args.out / "rows.jsonl", ConsoleProgress(Console(stderr=True))
    with World.open(cell.experiment, cell.folder, console) as world:
        student: Any = learn(world, 0)
        scores = measures(args)
        made_by = digest([student.id, args.seed, {name: describe(one) for name, one in scores.items()}])
        known = {row["id"]: row for row in read_rows(kept) if row["of"] == made_by}
        missing = [problem for problem in world.pool if problem.id not in known]
        with kept.open("a", encoding="utf-8") as file, console.stage(0, "score", len(missing)) as advance:
            for start in range(0, len(missing), args.chunk):
                meter = Metered(student, lambda prompt: encode_prompt(student.tokenizer, prompt))
                with student.remembering():
                    chunk = list(scored_rows(missing[start : start + args.chunk], meter, scores, cell.experiment))
                known |= {row["id"]: row for row in chunk}
                print("\n".join(json.dumps(row | {"of": made_by}) for row in chunk), file=file, flush=True)
                advance(len(chunk))
        return [known[problem.id] for problem in world.pool]


def measures(args: argparse.Namespace) -> dict[str, Any]:
    """The scores by name. `disagreement` comes with each number of samples: the others are held against it."""
    wanted: dict[str, Any] = {"perplexity": "perplexity", "token_entropy": "token_entropy"}
    for kind, k in product(("entropy", "self_consistency", "margin"), args.samples):
        wanted[f"{kind} k={k}"] = {"kind": kind, "samples": k}
    for k in range(2, args.most + 1):
        wanted[f"disagreement k={k}"] = {"kind": "disagreement", "samples": k}
    for (name, settings), aggregate in product(INTRA.items(), AGGREGATES):
        wanted[f"{name} {aggregate}"] = {"kind": "elad", "weight": 1.0, "aggregate": aggregate, **settings}
    for count, weight, aggregate in product(sorted(args.continuations), WEIGHTS, AGGREGATES):
        name = f"elad M={count} lambda={weight:g} {aggregate}"
        wanted[name] = {"kind": "elad", "samples": count, "weight": weight, "aggregate": aggregate}
    return {name: build("elad.uncertainty", one, name) for name, one in wanted.items()}


def scored_rows(
    problems: Sequence[Problem], meter: Any, scores: dict[str, Uncertainty], given: Experiment
) -> Iterator[Row]:
    """The row of each question. All of them are asked about in one go; one by one, nothing is left to be asked."""
    drafts = list(zip(problems, chains(given, meter, problems), strict=True))
    # Who takes most comes first, so that no call is for a few of the samples.
    for measure in sorted(scores.values(), key=lambda one: -getattr(one, "samples", 0)):
        measure(drafts, meter, given.task, given.seed)
    for draft in drafts:
        meter.spent()
        chains(given, meter, [draft[0]])
        yield {"draft": cost(meter.spent()), **row_of(draft, meter, scores, given)}


def row_of(draft: Draft, meter: Any, scores: dict[str, Uncertainty], given: Experiment) -> Row:
    """A question's scores and what they cost, and what was found at each place of its chain."""
    problem, chain = draft
    told: dict[str, Row] = {}
    places: list[Row] = []
    intra: Sequence[float] = ()
    stepwise: dict[str, Sequence[float]] = {}
    for name, measure in scores.items():
        (found,) = measure([draft], meter, given.task, given.seed)
        asked = meter.spent()
        told[name] = {"value": round(found.aggregate, 6), **cost(asked)}
        if name in STEPWISE or (name.endswith(" mean") and name.startswith(STEPWISE)):
            stepwise[name] = [round(value, 6) for value in found.steps]
        intra = found.parts.get("intra", ()) if name == "prefix mean" else intra
        if isinstance(measure, Elad) and measure.weight == 0:
            places = at_places(found.parts.get("inter", ())[: scored(chain)], asked, measure.samples)
            whole = places or [{"value": found.aggregate, **cost([])}]
            told |= {f"{end} place n={measure.samples}": whole[at] for end, at in (("first", 0), ("last", -1))}
    return {
        "id": problem.id,
        "wrong": not given.task.grade(problem, chain).lenient,
        "first_error": first_wrong_step(problem, [step.text for step in chain.steps]).index,
        "stepwise": {name: values[: scored(chain)] for name, values in stepwise.items()},
        "readable": chain.answer is not None,
        "steps": len(chain.steps),
        "scores": told,
        "places": [{**place, "intra": value} for place, value in zip(places, intra, strict=False)],
    }


def at_places(values: Sequence[float], asked: Sequence[Asked], count: int) -> list[Row]:
    """What `count` continuations from before each step say and cost; nothing was drawn where nothing can agree."""
    return [{"value": value, **cost(asked[place * count : (place + 1) * count])} for place, value in enumerate(values)]


def split(rows: Sequence[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """The half to choose by, and the other one: by lot, whatever the order of the rows."""
    mixed = sorted(rows, key=lambda row: row["id"])
    Random(seed).shuffle(mixed)
    return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]


def table(rows: Sequence[Row], seed: int) -> list[Row]:
    """How well each score tells what is wrong, what it costs a question, and what it has above `disagreement`."""
    costs = {
        name: {key: fmean(row["scores"][name][key] for row in rows) for key in COSTS} for name in rows[0]["scores"]
    }
    areas = {name: area(name, rows) for name in costs}
    rng = Random(seed)
    drawn = [rng.choices(rows, k=len(rows)) for _ in range(RESAMPLES)]
    drawn = [own for own in drawn if len({row["wrong"] for row in own}) == 2]
    resampled = {name: [area(name, own) or 0.0 for own in drawn] for name in costs}
    lines: list[Row] = []
    for name, own in costs.items():
        line: Row = {"score": name, **{key: round(value, 4) for key, value in own.items()}}
        line |= {"auroc": rounded(areas[name]), "interval": interval(resampled[name])}
        for key in ("sampled", "seconds"):
            rivals = {one: costs[one][key] for one in costs if one.startswith("disagreement")}
            other = nearest(own[key], rivals)
            if other is None:
                line[f"equal_{key}"] = None
                continue
            differences = [one - two for one, two in zip(resampled[name], resampled[other], strict=True)]
            beside = {"score": other, "auroc": rounded(areas[other]), key: round(rivals[other], 4)}
            line[f"equal_{key}"] = beside | {"above": interval(differences)}
        lines.append(line)
    return lines


def area(name: str, rows: Sequence[Row]) -> float | None:
    """None where nothing or everything is wrong."""
    return auroc([(row["scores"][name]["value"], row["wrong"]) for row in rows])


def nearest(amount: float, amounts: dict[str, float]) -> str | None:
    """The name whose amount comes nearest; of equals, the first. None where none is within `NEAR` of it."""
    name = min(amounts, key=lambda name: abs(amounts[name] - amount))
    return name if abs(amounts[name] - amount) <= NEAR * amount else None


def wanted(line: Row, args: argparse.Namespace) -> bool:
    """Whether a score is shown: of `disagreement`, the numbers of samples that others have too, and the largest."""
    kind, _, k = line["score"].partition(" k=")
    return kind != "disagreement" or int(k) in {*args.samples, args.most}


def group(name: str) -> str:
    """What a score competes with: those that draw as many samples."""
    found = re.search(r"[kMn]=\d+", name)
    return found[0] if found else "no explanations"


def chosen(first: Sequence[Row], second: Sequence[Row]) -> list[Row]:
    """The best score of each group by the first half, with what it comes to in the second."""
    best: dict[str, Row] = {}
    for line in first:
        rival = best.setdefault(group(line["score"]), line)
        if (line["auroc"] or 0.0) > (rival["auroc"] or 0.0):
            best[group(line["score"])] = line
    told = {line["score"]: line for line in second}
    return [{"group": name, "by": line["auroc"], **told[line["score"]]} for name, line in best.items()]


def verdict(picks: Sequence[Row], questions: int) -> Row:
    """What the best ELAD score of the first half comes to in the second, but for the name."""
    drawn = [one for one in picks if one["group"].startswith("M=") and one["equal_sampled"]]
    if not drawn:
        return {"ratio": None, "target": TARGET, "met": False, "runs": questions, "spread": None, "score": None}
    best = max(drawn, key=lambda one: one["by"] or 0.0)
    other = best["equal_sampled"]
    return {
        "ratio": rounded(best["auroc"] / other["auroc"]) if best["auroc"] and other["auroc"] else None,
        "target": TARGET,
        "met": other["above"] is not None and other["above"][0] > 0,
        "runs": questions,
        "spread": other["above"],
        "score": best["score"],
        "beside": other["score"],
    }


def by_place(halves: Sequence[Sequence[Row]]) -> list[Row]:
    """How well continuations from one place alone, and a change of the conclusion there, tell that the draft is wrong.

    Places are counted from 1; the last is that before the conclusion. Of chains without that place nothing is said.
    """
    longest = max(len(row["places"]) for half in halves for row in half)
    lines: list[Row] = []
    for at in (*range(longest), -1):
        found = [[(row["places"][at], row["wrong"]) for row in half if row["places"][at:]] for half in halves]
        told = [place for half in found for place, _ in half]
        if len(told) >= FEW:
            line: Row = {"place": "last" if at < 0 else at + 1, "chains": len(told)}
            line["sampled"] = fmean(place["sampled"] for place in told)
            for part, key in (("inter", "value"), ("intra", "intra")):
                line[part] = [rounded(auroc([(place[key], wrong) for place, wrong in half])) for half in found]
            lines.append(line)
    return lines


def show(rows: Sequence[Row], tables: Sequence[list[Row]], halves: Sequence[list[Row]], args: Any) -> None:
    """The tables and the last line."""
    wrong, unreadable = sum(row["wrong"] for row in rows), sum(not row["readable"] for row in rows)
    steps, drafted = (
        fmean(row["steps"] for row in rows),
        {key: fmean(row["draft"][key] for row in rows) for key in COSTS},
    )
    print(f"{args.setting}, {args.warmup} warm-up rows: {len(rows)} questions, {wrong} wrong, {unreadable} unreadable,")
    print(f"{steps:.1f} steps, {drafted['sampled']:.0f} tokens and {drafted['seconds']:.2f} s a draft")
    for half, lines, use in zip(halves, tables, ("to choose by", "to report"), strict=True):
        print(f"\n### The half {use}: {len(half)} questions, {sum(row['wrong'] for row in half)} wrong\n")
        show_scores([{"group": group(line["score"]), **line} for line in lines])
    picks = chosen(*tables)
    print("\n### The best of each group by the first half, in the second\n")
    show_scores(picks)
    print("\n### By place, in the first half and in the second\n")
    print("| place | chains | tokens sampled there | AUROC of continuations | AUROC of a changed conclusion |")
    print("|---|--:|--:|---|---|")
    for one in by_place(halves):
        inter, intra = (", ".join(map(str, one[part])) for part in ("inter", "intra"))
        print(f"| {one['place']} | {one['chains']} | {one['sampled']:.0f} | {inter} | {intra} |")
    steps = [upto_the_first_wrong(row) for row in rows]
    print("\n### By step, of all drafts\n")
    found = [of_steps(name, steps, args.seed) for name in steps[0]["scores"]]
    show_verdicts(found, steps)
    told = {"name": "chain_scores", **verdict(picks, len(rows)), "wrong": wrong, "chosen": picks}
    print(json.dumps(told | {"steps": found, "scores": tables[1]}))


def upto_the_first_wrong(row: Row) -> Row:
    """A row as `step_scores.py` has it: what comes after the first wrong step is left out."""
    end = None if row["first_error"] is None else row["first_error"] + 1
    scores = {name: values[:end] for name, values in row["stepwise"].items()}
    return {"first_error": row["first_error"], "readable": row["readable"], "scores": scores}


def show_scores(lines: Sequence[Row]) -> None:
    """One table; what a score is held against stands in brackets."""
    print("| draws | score | sampled | read | seconds | AUROC | 95 % | above, equal tokens | above, equal seconds |")
    print("|---|---|--:|--:|--:|--:|---|---|---|")
    for one in lines:
        low, high = one["interval"] or ("", "")
        itself = one["score"].startswith("disagreement")
        beside = ["" if itself else above(one[f"equal_{key}"]) for key in ("sampled", "seconds")]
        print(
            f"| {one['group']} | `{one['score']}` | {one['sampled']:.0f} | {one['read']:.0f} | {one['seconds']:.2f}"
            f" | {one['auroc']} | {low} to {high} | {' | '.join(beside)} |"
        )


def above(beside: Row | None) -> str:
    """By how much a score is above what it is held against; nothing where nothing costs as much."""
    if beside is None:
        return ""
    low, high = beside["above"] or ("", "")
    return f"{low} to {high} ({beside['score'].split()[-1]}: {beside['auroc']})"


if __name__ == "__main__":
    main()
