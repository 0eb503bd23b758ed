"""Does choosing save anything? Arms x seeds on real questions, what each came to as a row, and what the rows say.

    python benchmarks/evidence.py run words --seeds 0 1 2              # the cells of a setting, one after the other
    python benchmarks/evidence.py run words --arms random elad --seeds 3 --rows docs/results/evidence
    python benchmarks/evidence.py tell words --rows docs/results/evidence
    python benchmarks/evidence.py small                                # both for a small setting: `make evidence`

Needs the real data beside the checkout (`../shared/data`). Questions are drawn once by a fixed seed: those that the
student warms up on, the pool, a third of the train file that is kept aside (`--aside` takes it as the pool, for what
was changed after looking at the rest), and the held-out ones of the test file. A seed of an arm decides what is
trained, drawn and picked. All arms of a seed have the warm-up, its grades and its drafts in common. In a setting that
ends in `_given` the pool comes with the teacher's right answers, which a score may look at: `ifd` picks by them, and
`ifd_length` by lot as many of each length.

A cell is an ordinary run (`elad sweep` runs them alike); it goes on where it was stopped. Its row in ROWS/SETTING.jsonl
holds everything that `elad compare` needs, so that rows of several machines and days make one table: a cell that has
its row is not run again. `tell` prints the comparison, and draws it as ROWS/SETTING.svg; its last line is JSON, `ratio`
the area under the curve of the first arm over that of `random`. Of arms that are named without `random` the first is
what the others are held against: `tell words_given --arms ifd_length ifd`.
"""

import argparse
import gzip
import json
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from rich.console import Console

from elad.evaluation.curves import Curve
from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.records import digest
from elad.report.compare import judged
from elad.report.console import ConsoleProgress
from elad.report.plots import plot
from elad.report.runs import Arm, Read, read_run
from elad.report.verdict import remarks, sentence
from elad.sweep import Cell, sweep

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared" / "data"
DRAWN = 20260101
"""What draws the questions: the same ones for all seeds, so that runs are compared question by question."""
PARTS = ("pool", "heldout", "warmup")
REWRITE = {"kind": "rewrite", "max_tokens": 256}
ARMS: dict[str, dict[str, Any]] = {
    "random": {"selector": "random"},
    "elad": {"uncertainty": {"kind": "elad", "samples": 2}},
    "entropy": {"uncertainty": {"kind": "entropy", "samples": 5}},
    "disagreement": {"uncertainty": {"kind": "disagreement", "samples": 5}},
    "oracle": {"selector": {"kind": "oracle", "analysis": True}},
    "ifd": {
        "uncertainty": {"kind": "elad.methods.ifd:Ifd"},
        "selector": {"kind": "elad.methods.ifd:Cherry", "experience": None},
    },
    "ifd_length": {
        "uncertainty": {"kind": "elad.methods.ifd:Ifd"},
        "selector": {"kind": "elad.methods.ifd:LengthMatched", "like": {"experience": None}},
    },
}
"""What decides the picks, and nothing else."""
DRAFTED = ("random", "elad", "entropy", "disagreement", "oracle")
GIVEN = ("random", "ifd", "ifd_length")
"""Arms of the settings in which the pool comes with its answers: they may be looked at before they are bought."""
SETTINGS: dict[str, dict[str, Any]] = {
    "words": {
        "sets": ("svamp", "multiarith", "addsub", "singleeq"),
        "teacher": "gpt-3.5",
        "sizes": {"warmup": 100, "pool": 240, "heldout": 250},
        "raw": {"task": "numeric", "drafting": {"max_tokens": 64}},
    },
    "esnli": {
        "sets": ("esnli",),
        "teacher": "palm-540b",
        "sizes": {"warmup": 60, "pool": 240, "heldout": 250},
        "raw": {"task": "choice", "drafting": {"max_tokens": 40}},
    },
    "last_letters": {
        "sets": ("last_letters",),
        "teacher": "gpt-3.5-turbo-instruct",
        "sizes": {"warmup": 40, "pool": 160, "heldout": 105},
        "raw": {"task": "text", "drafting": {"max_tokens": 72}},
    },
    "strategyqa": {
        "sets": ("strategyqa",),
        "teacher": "gpt-4o",
        "sizes": {"warmup": 60, "pool": 200, "heldout": 250},
        "raw": {"task": "choice", "drafting": {"max_tokens": 96}},
    },
}
SETTINGS |= {f"{name}_given": setting | {"given": True} for name, setting in SETTINGS.items()}
SMALL = {"sizes": {"warmup": 60, "pool": 80, "heldout": 120}, "rounds": {"count": 1, "questions": 30}}
SMALL_ARMS, SMALL_SEEDS = ("elad", "entropy", "random"), (0, 1)
COMMON: dict[str, Any] = {
    "student": {"engine": "transformers", "model": "smollm2-135m"},
    "reviser": REWRITE,
    "training": {"warm_start": True, "epochs": 3},
    "rounds": {"count": 1, "questions": 60},
}


def main() -> None:
    """Runs cells, or tells what the rows say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("verb", choices=("run", "tell", "small"))
    parser.add_argument("setting", nargs="?", choices=sorted(SETTINGS), default="words")
    parser.add_argument("--arms", nargs="+", choices=sorted(ARMS), help="all that go with the setting by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--aside", action="store_true", help="the third that is kept aside as the pool")
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"), help="the runs themselves")
    parser.add_argument("--rows", type=Path, help="where the rows lie; OUT by default")
    args = parser.parse_args()
    changes: dict[str, Any] = {}
    if args.verb == "small":
        changes, args.seeds = SMALL, list(SMALL_SEEDS)
        args.arms = GIVEN if SETTINGS[args.setting].get("given") else SMALL_ARMS
        args.out /= "small"
    args.rows = args.rows or args.out
    args.rows.mkdir(parents=True, exist_ok=True)
    kept = args.rows / f"{args.setting}{'-aside' if args.aside else ''}.jsonl"
    if args.verb != "tell":
        run_cells(cells_of(args, changes), kept)
    tell(kept, args.setting, args.arms if args.verb == "tell" else None)


def cells_of(args: argparse.Namespace, changes: dict[str, Any]) -> list[Cell]:
    """The runs that are wanted, seed by seed."""
    home = args.out.resolve() / f"{args.setting}{'-aside' if args.aside else ''}"
    setting = SETTINGS[args.setting]
    sizes = changes.get("sizes", setting["sizes"])
    write_data(setting, sizes, home, aside=args.aside)
    raw = COMMON | setting["raw"] | {key: value for key, value in changes.items() if key != "sizes"}
    raw |= {
        "data": {part: f"{part}.jsonl" for part in PARTS},
        "teacher": {"kind": "recorded", "name": setting["teacher"]},
    }
    return [
        Cell(
            arm=arm,
            seed=seed,
            experiment=Experiment.of(raw | ARMS[arm] | {"name": arm, "seed": seed}, base=home),
            folder=home / arm / f"seed-{seed}",
        )
        for seed in args.seeds
        for arm in args.arms or (GIVEN if setting.get("given") else DRAFTED)
    ]


def write_data(setting: dict[str, Any], sizes: dict[str, int], home: Path, *, aside: bool) -> None:
    """Warm-up, pool and held-out rows, drawn once; every one of the train file has a rationale of the teacher."""
    home.mkdir(parents=True, exist_ok=True)
    rng = Random(DRAWN)
    heldout = rng.sample(list(rows(setting["sets"], "test")), sizes["heldout"])
    asked = {row["question"] for row in heldout}
    train = [row for row in rows(setting["sets"], "train") if row["question"] not in asked and said(row, setting)]
    rng.shuffle(train)
    right = [row for row in train if said(row, setting)["correct"]]
    explained = [row | {"rationale": said(row, setting)["text"]} for row in right]
    warmup = explained[: sizes["warmup"]]
    taken = {row["id"] for row in warmup}
    left = [row for row in (explained if setting.get("given") else train) if row["id"] not in taken]
    third = len(left) // 3
    pool = (left[:third] if aside else left[third:])[: sizes["pool"]]
    for name, chosen in zip(PARTS, (pool, heldout, warmup), strict=True):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen)
        (home / f"{name}.jsonl").write_text(text, encoding="utf-8")


def said(row: dict[str, Any], setting: dict[str, Any]) -> Any:
    """The first rationale that the setting's teacher has written for a row; None where there is none."""
    return next((one for one in row["teacher_rationales"] if one["teacher"] == setting["teacher"]), None)


def rows(sets: Sequence[str], split: str) -> Iterator[dict[str, Any]]:
    """The rows of some sets; a question that stands in several of them comes once."""
    seen: set[str] = set()
    for name in sets:
        with gzip.open(SHARED / name / f"{split}.jsonl.gz", "rt", encoding="utf-8") as file:
            for row in map(json.loads, file):
                if row["question"] not in seen:
                    seen.add(row["question"])
                    yield row


def run_cells(cells: Sequence[Cell], kept: Path) -> None:
    """Runs what has no row yet, and writes its row when it has ended."""
    told = {row["cell"] for row in read_rows(kept)}
    console = Console(stderr=True)

    def begin(cell: Cell, place: int) -> ConsoleProgress:
        console.rule(f"{cell.arm}, seed {cell.seed} ({place + 1} of {len(wanted)}), {datetime.now(UTC):%H:%M}")
        return ConsoleProgress(console)

    wanted = [cell for cell in cells if name_of(cell) not in told]
    started = time.monotonic()
    for ended in sweep(wanted, begin):
        if ended.error:
            raise ended.error
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row_of(ended.cell)) + "\n")
        console.print(f"{(time.monotonic() - started) / 60:.0f} minutes so far")


def name_of(cell: Cell) -> str:
    """Tells a cell from all others, by what it does and on which questions."""
    asked = [digest((cell.experiment.base / f"{part}.jsonl").read_text("utf-8")) for part in PARTS]
    identity = {key: value for key, value in cell.experiment.identity().items() if not key.startswith("data.")}
    return digest([identity, cell.experiment.rounds.count, asked])


def row_of(cell: Cell) -> dict[str, Any]:
    """What a finished cell came to."""
    read = read_run(cell.folder)
    with Ledger(cell.folder, write=False) as ledger:
        seconds: dict[str, float] = {}
        for event in ledger.events(Kind.STAGE):
            seconds[event.payload["stage"]] = seconds.get(event.payload["stage"], 0.0) + event.payload["seconds"]
        outcomes: dict[str, int] = {}
        for event in ledger.events(Kind.REVISION):
            outcomes[event.payload["outcome"]] = outcomes.get(event.payload["outcome"], 0) + 1
        parsed = [event.payload["parsed"] for event in ledger.events(Kind.ROUND)]
    return {
        "cell": name_of(cell),
        "arm": cell.arm,
        "seed": cell.seed,
        "right": ["".join("01"[one] for one in row) for row in read.curve.right],
        "costs": read.curve.costs,
        "parsed": parsed,
        "revisions": outcomes,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "settings": dict(read.settings),
        "questions": digest(list(read.questions)),
        "state": read.state,
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True
        ).stdout.strip(),
        "machine": platform.processor() or platform.machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def read_rows(kept: Path) -> list[dict[str, Any]]:
    """The rows that are there."""
    return [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []


def arms_of(found: Sequence[dict[str, Any]]) -> list[Arm]:
    """The rows as `elad compare` has them from run folders. Those of one setting are on the same held-out questions."""
    by_arm: dict[str, list[Read]] = {}
    for row in sorted(found, key=lambda row: (row["arm"] == "random", row["arm"] != "elad", row["arm"], row["seed"])):
        curve = Curve(
            seed=row["seed"],
            costs={name: tuple(values) for name, values in row["costs"].items()},
            right=tuple(tuple(one == "1" for one in line) for line in row["right"]),
        )
        read = Read(
            folder=Path(row["arm"]) / f"seed-{row['seed']}",
            name=row["arm"],
            settings=row["settings"],
            state=row["state"],
            questions=tuple(f"{row['questions']}-{place}" for place in range(len(row["right"][0]))),
            currency=None,
            curve=curve,
        )
        by_arm.setdefault(row["arm"], []).append(read)
    return [Arm(name=name, runs=tuple(reads)) for name, reads in by_arm.items()]


def tell(kept: Path, setting: str, named: Sequence[str] | None) -> None:
    """Tables in Markdown, the picture, and one JSON line; of some arms, in that order, where they are named."""
    found = [row for row in read_rows(kept) if named is None or row["arm"] in named]
    arms = arms_of(found)
    if named is not None:
        arms.sort(key=lambda arm: named.index(arm.name))
    told = judged(arms)
    plot(told, arms, kept.with_suffix(".svg"))
    print(f"### {setting}: {len(found)} runs, {told['heldout']} held-out questions\n")
    show_arms(arms, told["arms"], found)
    show_areas(told["comparisons"])
    for one in told["comparisons"]:
        print(f"- {sentence(one)}")
    notes = dict.fromkeys(note for one in told["comparisons"] for note in remarks(one))
    print("\n".join(f"  - {note}" for note in notes))
    first = told["comparisons"][0]
    area = first["auc_difference"]
    line = {
        "name": f"evidence {setting}",
        "ratio": round(area["arm"] / area["reference"], 3) if area["reference"] else None,
        "target": 1.0,
        "met": area["low"] is not None and area["low"] > 0,
        "runs": len(found),
        "spread": [area["low"], area["high"]],
        "arm": first["arm"],
        "verdict": first["verdict"],
    }
    print(json.dumps(line))


def show_arms(arms: Sequence[Arm], lines: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> None:
    """What each arm came to."""
    print(
        "| arm | seeds | start | end | lowest to highest | readable at the end | questions | tokens out | scored, s |"
    )
    print("|---|---|--:|--:|---|--:|--:|--:|--:|")
    for arm, line in zip(arms, lines, strict=True):
        mine = [row for row in found if row["arm"] == arm.name]
        start = fmean(run.curve.accuracies[0] for run in arm.runs)
        scoring = fmean(sum(took for stage, took in row["seconds"].items() if "score" in stage) for row in mine)
        print(
            f"| {arm.name} | {', '.join(map(str, line['seeds']))} | {start:.1%} | {line['accuracy']:.1%} "
            f"| {line['lowest']:.1%} to {line['highest']:.1%} | {fmean(row['parsed'][-1] for row in mine):.0%} "
            f"| {line['questions']:.0f} | {line['tokens_out']:.0f} | {scoring:.0f} |"
        )


def show_areas(comparisons: Sequence[dict[str, Any]]) -> None:
    """How far each arm's curve lies above that of the reference."""
    reference = comparisons[0]["reference"]
    print(f"\n| arm | mean height above {reference}, points | 95 % | p, seeds | p, questions | says |")
    print("|---|--:|---|--:|--:|---|")
    for one in comparisons:
        area, flips = one["auc_difference"], one["permutation"]
        ends = "none" if area["low"] is None else f"{100 * area['low']:+.1f} to {100 * area['high']:+.1f}"
        p = [f"{flips[kind]['p']:.3f}" for kind in ("seeds", "questions")] if flips else ["none", "none"]
        print(f"| {one['arm']} | {100 * area['value']:+.1f} | {ends} | {p[0]} | {p[1]} | {one['verdict']} |")
    print()


if __name__ == "__main__":
    main()
