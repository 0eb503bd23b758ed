"""Whether knowledge detection tells what the student knows, on made-up facts of which it was taught half.

    python benchmarks/knowledge_detection.py [--facts 60] [--samples 5] [--seeds 1] [--nli FOLDER] [--out runs/kd]

For each seed the 135M student is fine-tuned on half of the facts, without their passages, and on reading other facts
out of theirs. Then `elad.methods.knowledge_detection` is run on all of them in one round: samples with and without the
passage, both filters, pairs, DPO. The arms differ in the filters alone: `filtered` has them, `all` keeps every pair.
Asked in other words, all facts are the held-out questions. The last line is JSON: `ratio` is the mean over seeds of the
AUROC of S_K, untaught facts against taught ones, and `spread` its least and most; `differ` is the same by the share of
samples that do not say what the greedy answer says, which takes no judge; `kept` counts what the filters leave at some
bounds; `accuracy` is that on untaught and taught facts before and after, by arm. A run that was interrupted goes on.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from elad.evaluation.calibration import auroc
from elad.experiment import Experiment
from elad.kinds import build
from elad.learning import Lesson
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.records import Example, Problem
from elad.settings import Training
from elad.tasks.text import Text
from elad.training.objectives.sft import Sft

TARGET = 0.8
BOUNDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
ARMS: dict[str, dict[str, None]] = {"filtered": {}, "all": {"consistency": None, "unknown": None}}
_START, _MIDDLE, _END = "Br D F Gl H J K M N P Qu R S T V Z".split(), "a e i o u".split(), "b d l m n r s x".split()
_AGAIN, _OTHERWISE = "-again", "Here is a question from a quiz:"
_SHAPES = (
    ("The ferry of {place} is steered by {name}.", "Who steers the ferry of {place}?"),
    ("The old mill in {place} was built by {name}.", "Who built the old mill in {place}?"),
    ("The river that runs through {place} is the {name}.", "Which river runs through {place}?"),
    ("The cheese that {place} is known for is called {name}.", "What is the cheese called that {place} is known for?"),
    ("The mayor of {place} is {name}.", "Who is the mayor of {place}?"),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence that nobody can know, and the question that it answers; its passage says more of the place."""

    problem: Problem
    taught: bool


def main() -> None:
    """Prints what the filters tell apart, and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--facts", type=int, default=60, help="half of them are taught")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12, help="of teaching")
    parser.add_argument("--nli", help="folder of a cross-encoder; the student judges without one")
    parser.add_argument("--out", type=Path, default=Path("runs/knowledge_detection"))
    args = parser.parse_args()
    nli = {"nli": {"model": args.nli}} if args.nli else {}
    rows: list[dict[str, Any]] = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        facts, student = made_up(args.facts, seed), args.out / f"seed-{seed}" / f"taught-{args.epochs}"
        taught(facts, student, seed, args.epochs)
        homes = {arm: student.with_name(f"{arm}{'-nli' if args.nli else ''}") for arm in ARMS}
        for arm, filters in ARMS.items():
            one = experiment(facts, student, seed, {"samples": args.samples} | filters | nli)
            with ExitStack() as opened:  # what an arm before has drawn and judged is the same
                earlier = [opened.enter_context(Ledger(home, write=False)) for home in homes.values() if home.exists()]
                run(one, homes[arm], recalled=[ledger for ledger in earlier if ledger.folder != homes[arm]])
            rows.append({"seed": seed, "arm": arm, **measured(homes[arm], facts)})
            print(json.dumps(rows[-1]), flush=True)
    Console().print(shown(rows))
    print(json.dumps({"name": "knowledge_detection", **verdict(rows)}))


def made_up(count: int, seed: int) -> list[Fact]:
    """So many facts, the first half of them taught; every name occurs in one fact."""
    rng, used = Random(seed), set[str]()

    def name() -> str:
        while True:
            parts = (rng.choice(part) for part in (_START, _MIDDLE, _END, _MIDDLE, _END))
            if (word := "".join(parts)) not in used:
                used.add(word)
                return word

    facts: list[Fact] = []
    for i in range(count):
        place, answer, other = name(), name(), name()
        said, asked = _SHAPES[i % len(_SHAPES)]
        sentence = said.format(place=place, name=answer)
        passage = f"{place} lies in the hills. {sentence} A road leads from there to {other}."
        facts.append(
            Fact(
                problem=Problem(
                    id=f"fact-{seed}-{i}",
                    question=asked.format(place=place),
                    answer=answer,
                    rationale=sentence,
                    metadata={"passage": passage},
                ),
                taught=i < count // 2,
            )
        )
    return facts


def taught(facts: Sequence[Fact], folder: Path, seed: int, epochs: int) -> None:
    """The student that was fine-tuned on half of the facts, saved as a model of its own."""
    if (folder / "elad.json").is_file():
        return
    # What is read out of passages are facts that are not asked about.
    reading = [one.problem for one in made_up(len(facts) // 2, seed + 1000)]
    examples = [
        *(_example(one.problem) for one in facts if one.taught),
        *(_example(one, context=one.metadata["passage"]) for one in reading),
    ]
    student = build("elad.students", {"engine": "transformers", "lora": None}, "student", tag="engine").open()
    training = Training(epochs=epochs, learning_rate=1e-4, batch_size=10, micro_batch_size=10)
    fit = student.fit(examples, Lesson(objective=Sft(), training=training, seed=seed), folder=folder)
    print(json.dumps({"taught": fit.summary}), flush=True)


def _example(one: Problem, context: str | None = None) -> Example:
    task = Text()
    asked = Problem(id=one.id, question=one.question, context=context)
    target = f"{one.rationale}\n{task.conclusion(one, one.answer or '')}"
    return Example(problem_id=one.id, messages=task.messages(asked), target=target, source="warmup")


def experiment(facts: Sequence[Fact], student: Path, seed: int, reviser: Mapping[str, Any]) -> Experiment:
    """One round over all facts; asked in other words, without their passages, they are the held-out questions too."""
    pool = [one.problem for one in facts]
    heldout = [replace(one, id=f"{one.id}{_AGAIN}", question=f"{_OTHERWISE} {one.question}") for one in pool]
    return Experiment.of({
        "name": "knowledge_detection",
        "data": {"pool": pool, "heldout": heldout},
        "task": {"kind": "text"},
        "student": {"engine": "transformers", "model": str(student)},
        "teacher": {"kind": "reference"},
        "selector": {"kind": "random"},
        "reviser": {"kind": "elad.methods.knowledge_detection:KnowledgeDetection"} | dict(reviser),
        "objective": {"kind": "dpo", "beta": 0.3},
        "drafting": {"max_tokens": 40},
        "training": {"epochs": 3, "learning_rate": 1e-4, "batch_size": 8},
        "rounds": {"count": 1, "questions": len(facts)},
        "seed": seed,
    })  # fmt: skip


def measured(folder: Path, facts: Sequence[Fact]) -> dict[str, Any]:
    """What a run says of its filters, and how many facts of either half are answered before and after."""
    is_taught = {one.problem.id: one.taught for one in facts}
    with Ledger(folder, write=False) as ledger:
        revisions = [event.payload for event in ledger.events(Kind.REVISION)]
        rounds = [event.round for event in ledger.events(Kind.ROUND)]
        grades = [(event.round, event.payload["grade"]) for event in ledger.events(Kind.GRADE)]
    graded = [(at, grade["problem_id"].removesuffix(_AGAIN), grade["strict"]) for at, grade in grades]
    judged = [(one["detail"], not is_taught[one["problem_id"]]) for one in revisions if "unknown" in one["detail"]]
    return {
        "judge": judged[0][0]["judge"],
        "judged": len(judged),
        "auroc": auroc([(detail["unknown"], untaught) for detail, untaught in judged]),
        "differ": auroc([(fmean(map(bool, detail["without"])), untaught) for detail, untaught in judged]),
        "consistency": mean_by_half([(detail["consistency"], untaught) for detail, untaught in judged]),
        "unknown": mean_by_half([(detail["unknown"], untaught) for detail, untaught in judged]),
        "kept": {str(tau): left([detail for detail, _ in judged], tau) for tau in BOUNDS},
        "outcomes": dict(Counter(sorted(one["outcome"] for one in revisions))),
        "accuracy": [
            mean_by_half([(right, not is_taught[name]) for at, name, right in graded if at == number])
            for number in rounds
        ],
    }


def mean_by_half(values: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """The mean over untaught facts and over taught ones."""
    halves = {"untaught": True, "taught": False}
    return {name: round(fmean(value for value, of in values if of is half), 3) for name, half in halves.items()}


def mean_of(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each value by its name."""
    return {name: round(fmean(part[name] for part in parts), 3) for name in parts[0]}


def left(details: Sequence[Mapping[str, float]], tau: float) -> int:
    """How many questions both filters leave, tau_L at 0.5."""
    return sum(detail["consistency"] < 0.5 and detail["unknown"] > tau for detail in details)


def shown(rows: Sequence[dict[str, Any]]) -> Table:
    """A row for each seed and arm."""
    table = Table("seed", "arm", "judge", "AUROC", "differ", "outcomes", "untaught, taught: before", "after")
    for row in rows:
        before, after = (f"{one['untaught']:.0%}, {one['taught']:.0%}" for one in row["accuracy"])
        outcomes = ", ".join(f"{count} {name}" for name, count in row["outcomes"].items())
        figures = f"{row['auroc']:.3f}", f"{row['differ']:.3f}"
        table.add_row(str(row["seed"]), row["arm"], row["judge"], *figures, outcomes, before, after)
    return table


def verdict(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the rows say, but for the name. The filters see the same in both arms: the samples are."""
    found = [row for row in rows if row["arm"] == "filtered"]
    values = [row["auroc"] for row in found]
    return {
        "ratio": round(fmean(values), 3),
        "target": TARGET,
        "met": min(values) >= TARGET,
        "runs": len(values),
        "spread": [round(min(values), 3), round(max(values), 3)],
        "differ": round(fmean(row["differ"] for row in found), 3),
        "judge": found[0]["judge"],
        "kept": {tau: fmean(row["kept"][tau] for row in found) for tau in map(str, BOUNDS)},
        "accuracy": {
            arm: [mean_of([row["accuracy"][at] for row in rows if row["arm"] == arm]) for at in (0, 1)] for arm in ARMS
        },
    }


if __name__ == "__main__":
    main()
