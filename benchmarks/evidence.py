"""Does choosing save anything? Arms x seeds on real questions, what each came to as a row, and what the rows say.

    python benchmarks/evidence.py run words --seeds 0 1 2              # the cells of a setting, one after the other
    python benchmarks/evidence.py run words --arms random elad --seeds 3 --heldout test --rows docs/results/evidence
    python benchmarks/evidence.py tell words --heldout test --rows docs/results/evidence
    python benchmarks/evidence.py small                                # both for a small part of esnli: `make evidence`

Needs the real data beside the checkout (`../shared/data`). A third of all questions, by their own hash, is kept aside:
with `--aside` pool and held-out questions are of that third, for what was changed after looking at the rest. The
held-out questions are those of the validation files, to choose by, or of the test files (`--heldout test`), to report
on. What is drawn is drawn once by a fixed seed: the rows that the student warms up on (never of the third aside), the
pool, and the held-out questions, so that intervals hold for these questions. A seed of an arm decides what is trained,
drawn and picked; all arms of a seed have the warm-up, its grades and its drafts in common, and `tell` refuses rows
that have not.

In the plain settings the teacher's explanations were recorded, and each question that is bought is explained anew. In
those that end in `_given` the pool comes with right explanations, which a score may look at (`ifd` picks by them, and
`ifd_length` by lot as many of each length). In those that end in `_reference` the teacher knows them and repairs the
student's own chain by them: `revised` is all of ELAD, `random` picks by lot and has all explained anew.

A cell is an ordinary run (`elad sweep` runs them alike); it goes on where it was stopped. Its row holds everything that
`elad compare` needs, and rows are put together as that does it, so that rows of several machines and days make one
table: a cell that has its row is not run again. `tell` prints the comparison, and draws it beside the rows; its last
line is JSON, `ratio` the area under the curve of the first arm over that of the reference. Of arms that are named
without one that picks by lot the first is what the others are held against.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from arms import ARMS, COMMON, PARTS, SETTINGS, SMALL, SMALL_ARMS, SMALL_SEEDS, SMALL_SETTING, USUAL, drawn
from rich.console import Console

from elad.errors import RunFolderError
from elad.evaluation.curves import Curve
from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.records import digest
from elad.report.compare import judged
from elad.report.console import ConsoleProgress
from elad.report.plots import plot
from elad.report.runs import COSTS, Arm, Read, arms_of, read_run
from elad.report.verdict import remarks, sentence
from elad.sweep import Cell, sweep

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Runs cells, or tells what the rows say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("verb", choices=("run", "tell", "small"))
    parser.add_argument("setting", nargs="?", choices=sorted(SETTINGS), default="words")
    parser.add_argument("--arms", nargs="+", choices=sorted(ARMS), help="all that go with the setting by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--heldout", choices=("validation", "test"), default="validation", help="whose questions")
    parser.add_argument("--aside", action="store_true", help="pool and held-out questions of the third kept aside")
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"), help="the runs themselves")
    parser.add_argument("--rows", type=Path, help="where the rows lie; OUT by default")
    args = parser.parse_args()
    changes: dict[str, Any] = {}
    if args.verb == "small":
        changes, args.setting, args.seeds, args.arms = SMALL, SMALL_SETTING, list(SMALL_SEEDS), SMALL_ARMS
        args.out /= "small"
    args.rows = args.rows or args.out
    args.rows.mkdir(parents=True, exist_ok=True)
    parts = [args.setting, args.heldout, *["aside"][: args.aside], *["small"][: args.verb == "small"]]
    kept = args.rows / f"{'-'.join(parts)}.jsonl"
    if args.verb != "tell":
        run_cells(cells_of(args, changes), kept)
    try:
        tell(kept, args.setting, args.arms if args.verb == "tell" else None)
    except RunFolderError as error:
        sys.exit(f"{kept}: {error}")


def cells_of(args: argparse.Namespace, changes: dict[str, Any]) -> list[Cell]:
    """The runs that are wanted, seed by seed. Runs on other questions lie in another folder.

    Raises: DataError where there are fewer questions than are asked for.
    """
    setting = SETTINGS[args.setting]
    data = drawn(setting, changes.get("sizes", setting["sizes"]), heldout=args.heldout, aside=args.aside)
    home = args.out.resolve() / args.setting / digest(data)[:12]
    home.mkdir(parents=True, exist_ok=True)
    for part, text in data.items():
        (home / f"{part}.jsonl").write_text(text, encoding="utf-8")
    raw = COMMON | setting["raw"] | {key: value for key, value in changes.items() if key != "sizes"}
    named = {"kind": "recorded", "name": setting["teacher"]}
    raw |= {
        "data": {part: f"{part}.jsonl" for part in PARTS},
        "teacher": "reference" if setting.get("ends") == "_reference" else named,
    }
    return [
        Cell(
            arm=arm,
            seed=seed,
            experiment=Experiment.of(raw | ARMS[arm] | {"name": arm, "seed": seed}, base=home),
            folder=home / arm / f"seed-{seed}",
        )
        for seed in args.seeds
        for arm in args.arms or USUAL[setting.get("ends", "")]
    ]


def run_cells(cells: Sequence[Cell], kept: Path) -> None:
    """Runs what has no row yet, and writes its row when it has ended; what has run here lends to the others."""
    told = {row["cell"] for row in read_rows(kept)}
    console = Console(stderr=True)

    def begin(cell: Cell, place: int) -> ConsoleProgress:
        console.rule(f"{cell.arm}, seed {cell.seed} ({place + 1} of {len(wanted)}), {datetime.now(UTC):%H:%M}")
        return ConsoleProgress(console)

    wanted = [cell for cell in cells if name_of(cell) not in told or cell.folder.exists()]
    started = time.monotonic()
    for ended in sweep(wanted, begin):
        if ended.error:
            raise ended.error
        if name_of(ended.cell) not in told:
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
        "state": read.state,
        "commit": commit(),
        "machine": platform.processor() or platform.machine(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def read_rows(kept: Path) -> list[dict[str, Any]]:
    """The rows that are there."""
    return [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []


def commit() -> str:
    """Of the code that ran the cell; "unknown" where it is no checkout."""
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True)
    return told.stdout.strip() or "unknown"


def read_of(row: dict[str, Any]) -> Read:
    """A row as `elad compare` has it from a run folder."""
    return Read(
        folder=Path(row["arm"]) / f"seed-{row['seed']}",
        name=row["arm"],
        settings=row["settings"],
        state=row["state"],
        questions=tuple(map(str, range(len(row["right"][0])))),
        currency=None,
        curve=Curve(
            seed=row["seed"],
            costs={name: tuple(values) for name, values in row["costs"].items()},
            right=tuple(tuple(one == "1" for one in line) for line in row["right"]),
        ),
    )


def arms_in(found: Sequence[dict[str, Any]]) -> list[Arm]:
    """The rows in arms, as `elad compare` puts them together.

    Raises: RunFolderError where they cannot be compared: also where arms of a seed do not begin at one student.
    """
    for seed in sorted({row["seed"] for row in found}):
        begun = {row["right"][0]: row["arm"] for row in found if row["seed"] == seed}
        if len(begun) > 1:
            raise RunFolderError(f"seed {seed}: {' and '.join(begun.values())} do not begin at the same student")
    return arms_of([read_of(row) for row in found])


def tell(kept: Path, setting: str, named: Sequence[str] | None) -> None:
    """Tables in Markdown, the picture, and one JSON line; of some arms, in that order, where they are named."""
    found = [row for row in read_rows(kept) if named is None or row["arm"] in named]
    order = [*(named or ARMS)]
    found.sort(key=lambda row: (order.index(row["arm"]), row["seed"]))
    arms = arms_in(found)
    told = judged(arms)
    plot(told, arms, kept.with_suffix(".svg"))
    commits, machines = ({row[key] for row in found} for key in ("commit", "machine"))
    print(f"### {setting}: {len(found)} runs, {told['heldout']} held-out questions\n")
    print(f"Commits {', '.join(sorted(commits))}; machines {', '.join(sorted(machines))}.\n")
    show_arms(arms, told["arms"], found)
    show_areas(told["comparisons"])
    for one in told["comparisons"]:
        print(f"- {sentence(one)}")
    notes = dict.fromkeys(note for one in told["comparisons"] for note in remarks(one))
    print("\n".join(f"  - {note}" for note in [*notes, *told["left_out"]]))
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
    print("| arm | seeds | start | end | lowest to highest | readable at the end | questions | tokens out | repaired |")
    print("|---|---|--:|--:|---|--:|--:|--:|--:|")
    for arm, line in zip(arms, lines, strict=True):
        mine = [row for row in found if read_of(row) in arm.runs]
        start = fmean(run.curve.accuracies[0] for run in arm.runs)
        bought = sum(sum(row["revisions"].values()) for row in mine)
        repaired = sum(row["revisions"].get("repaired", 0) for row in mine)
        print(
            f"| {arm.name} | {', '.join(map(str, line['seeds']))} | {start:.1%} | {line['accuracy']:.1%} "
            f"| {line['lowest']:.1%} to {line['highest']:.1%} | {fmean(row['parsed'][-1] for row in mine):.0%} "
            f"| {line['questions']:.0f} | {line['tokens_out']:.0f} | {repaired / bought:.0%} |"
        )


def show_areas(comparisons: Sequence[dict[str, Any]]) -> None:
    """How far each arm's curve lies above that of the reference, over questions and over the teacher's tokens."""
    reference = comparisons[0]["reference"]
    print(f"\n| arm | over | mean height above {reference}, points | 95 % | p, seeds | p, questions |")
    print("|---|---|--:|---|--:|--:|")
    for one in comparisons:
        for over in ("questions", "tokens_out"):
            area = one["areas"].get(over)
            if area is None:
                continue
            ends = "none" if area["low"] is None else f"{100 * area['low']:+.1f} to {100 * area['high']:+.1f}"
            flips = one["permutation"] if over == one["auc_difference"]["over"] else None
            p = [f"{flips[kind]['p']:.3f}" for kind in ("seeds", "questions")] if flips else ["", ""]
            words = COSTS[over]
            print(f"| {one['arm']} | {words} | {100 * area['value']:+.1f} | {ends} | {p[0]} | {p[1]} |")
    print()


if __name__ == "__main__":
    main()
