"""Every benchmark of speed, and what it found beside its target, as one table.

    python benchmarks/table.py [--full] [--only NAME]... [--out runs/bench]

Each is a process of its own, one after the other; nothing else should run meanwhile. What a benchmark compares with
may need an environment of its own, which a variable names (ELAD_POLYGRAPH, ELAD_VLLM: its python); without it the row
says so. The rows lie in OUT/rows.jsonl, and what the same command measured of the same commit, processor and numbers is
not measured again, unless `src` or `benchmarks` differ from the commit; OUT/speed.svg is their picture. The last line
is JSON: `met` is how many of the `figures` that were measured meet their target. Exit status is 1
where a benchmark failed.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from elad.students.transformers import arithmetic

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Target:
    """One figure of a benchmark's last line, and what it should be."""

    key: str
    words: str
    bound: float
    most: bool = False
    """Whether the bound is the most that it may be, not the least."""

    def meets(self, value: float) -> bool:
        """Whether the value is on the right side."""
        return value <= self.bound if self.most else value >= self.bound


@dataclass(frozen=True, slots=True)
class Row:
    """A benchmark: how it is called, small and in full, and which figures count."""

    name: str
    call: str
    small: str
    full: str
    targets: tuple[Target, ...]
    needs: str | None = None
    """What is compared with: "module NAME" here, or the variable that names the environment where it is."""

    @property
    def runs(self) -> bool:
        """Whether what it needs is there."""
        if self.needs is None:
            return True
        return find_spec(self.needs[7:]) is not None if self.needs.startswith("module ") else self.needs in os.environ


def naive(task: str) -> tuple[Target, Target]:
    """What probes are to be against naive ones."""
    return (
        Target("ratio", f"intra scores, {task}, draft in mind, against naive probes", 8.0),
        Target("ratio_alone", f"intra scores, {task}, from the text, against naive probes", 5.0),
    )


ROWS = (
    Row(
        "probe-choice", "probe.py --task choice --tokens 96", "--questions 16 --repeats 1", "--questions 64",
        (Target("of_drafting", "intra scores, choice, of drafting", 0.15, most=True), *naive("choice")),
    ),
    Row(
        "probe-numeric", "probe.py --tokens 96", "--questions 16 --repeats 1", "--questions 64",
        (Target("of_drafting", "intra scores, numeric, of drafting", 0.35, most=True), *naive("numeric")),
    ),
    Row(
        "resample", "resample.py", "--questions 6 --repeats 1", "--questions 32",
        (
            Target("ratio", "inter scores, M = 5, against `generate`", 3.0),
            Target("ratio_whole", "the same, each continuation written to its end", 2.0),
        ),
    ),
    Row(
        "draft", "draft.py", "--questions 16 --bare 16 --repeats 1", "--questions 120",
        (Target("ratio", "drafting, against bare `generate`", 1.3),),
    ),
    Row(
        "round", "round.py", "--questions 8 --heldout 4 --repeats 1", "--questions 32 --heldout 16",
        (Target("ratio", "draft, score and evaluate, against bare `transformers`", 2.0),),
    ),
    Row(
        "train", "train.py", "--rows 16 --repeats 1", "--rows 192 --repeats 3",
        (
            Target("ratio", "training tokens/s, against TRL", 1.3),
            Target("memory", "its peak memory, of TRL's with the batch at once", 0.5, most=True),
            Target("memory_micro", "its peak memory, of TRL's with micro-batches", 0.5, most=True),
        ), needs="module trl",
    ),
    Row(
        "polygraph", "polygraph.py", "--questions 6 --tokens 32 --repeats 1", "--questions 48",
        (Target("ratio", "entropy-style scores, against lm-polygraph", 2.0),), needs="ELAD_POLYGRAPH",
    ),
    Row(
        "vllm", "vllm.py", "--questions 24 --repeats 1", "--questions 120",
        (Target("ratio", "the vLLM engine, against bare vLLM", 0.9),), needs="ELAD_VLLM",
    ),
    Row(
        "scale", "scale.py --tiny", "--sizes 300 1000 2000", "--sizes 500 5000 50000",
        (
            Target("ratio", "time of a further question, large pool against small", 1.2, most=True),
            Target("bytes_a_question", "memory of a further question, bytes", 1024, most=True),
        ),
    ),
)  # fmt: skip


def main() -> None:
    """Prints the table and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", action="append", choices=[row.name for row in ROWS])
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "rows.jsonl"
    wanted = [row for row in ROWS if not args.only or row.name in args.only]
    known = map(json.loads, kept.read_text("utf-8").splitlines()) if kept.exists() else ()
    made = circumstances(HERE.parent)
    by_command: dict[str, dict[str, Any]] = {told["command"]: told for told in known if reusable(told, made)}
    found: dict[str, dict[str, Any]] = {}
    failed: list[str] = []
    for row in wanted:
        command = " ".join([f"benchmarks/{row.call}", row.full if args.full else row.small])
        if command not in by_command and row.runs:
            told = measured(command)
            if told is None:
                failed.append(row.name)
                continue
            by_command[command] = told | {"command": command} | made
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(by_command[command]) + "\n")
        if command in by_command:
            found[row.name] = by_command[command]
    show(wanted, found, failed)
    figures = [
        target.meets(found[row.name][target.key]) for row in wanted if row.name in found for target in row.targets
    ]
    if figures:
        picture(wanted, found, args.out / "speed.svg")
    print(json.dumps({"name": "table", "met": sum(figures), "figures": len(figures), "failed": failed}))
    sys.exit(1 if failed else 0)


def circumstances(checkout: Path) -> dict[str, str | None]:
    """What decides a figure besides its command: the commit (None where code differs from it), processor, numbers."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(checkout), *words], stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=all", "--", "src", "benchmarks")
    return {
        "commit": None if changed else git("rev-parse", "HEAD"),
        "processor": processor(Path("/proc/cpuinfo")),
        "numbers": arithmetic("auto"),
    }


def processor(told: Path) -> str:
    """The processor's name, by the kernel where that tells it."""
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def reusable(told: dict[str, Any], made: dict[str, str | None]) -> bool:
    """Whether a row that was kept is what its command would measure now; one of changed code never is."""
    return made["commit"] is not None and all(told.get(key) == value for key, value in made.items())


def measured(command: str) -> dict[str, Any] | None:
    """What the benchmark's last line says; None where it fails. Its other lines go on to the screen."""
    print("$ python", command, flush=True)
    script, *words = command.split()
    words = [sys.executable, str(HERE.parent / script), *words]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines: list[str] = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        print(f"{script} ended with {process.returncode}", flush=True)
        return None
    return json.loads(lines[-1])


def show(rows: list[Row], found: dict[str, dict[str, Any]], failed: list[str]) -> None:
    """The table."""
    table = Table("work", "measured", "target", "met", "spread of the ratio, turns")
    for row in rows:
        told = found.get(row.name)
        for target in row.targets:
            bound = f"{'at most' if target.most else 'at least'} {target.bound:g}"
            if told is None:
                why = "" if row.name in failed else f"needs {row.needs}"
                table.add_row(target.words, "failed" if row.name in failed else "not run", bound, "", why)
                continue
            spread = f"{told['spread'][0]:g} to {told['spread'][1]:g}, {told['runs']}" if target.key == "ratio" else ""
            met = "yes" if target.meets(told[target.key]) else "no"
            table.add_row(target.words, f"{told[target.key]:g}", bound, met, spread)
    Console(width=None if sys.stdout.isatty() else 130).print(table)


def picture(rows: list[Row], found: dict[str, dict[str, Any]], target: Path) -> None:
    """How far each figure is from its target, as a factor; right of the line is better."""
    bars = [(wanted, told) for row in rows if (told := found.get(row.name)) for wanted in row.targets]
    with rc_context({"svg.hashsalt": "elad", "svg.fonttype": "path", "font.size": 9}):
        figure = Figure(figsize=(8, 0.42 * len(bars) + 1.4), layout="constrained")
        axes = figure.subplots()
        for place, (wanted, told) in enumerate(bars):
            value = max(told[wanted.key], 1e-9)
            factor = wanted.bound / value if wanted.most else value / wanted.bound
            met = wanted.meets(told[wanted.key])
            axes.plot([1, factor], [place, place], color="0.7", zorder=1)
            axes.scatter(factor, place, color="#0072B2" if met else "#D55E00", marker="o" if met else "s", zorder=2)
            side, align = (8, "left") if met else (-8, "right")
            axes.annotate(
                f"{told[wanted.key]:g}", (factor, place), (side, 0), textcoords="offset points", ha=align, va="center"
            )
        axes.axvline(1, color="black", linewidth=1)
        axes.set_xscale("log")
        ticks = [0.125, 0.25, 0.5, 1, 2, 4, 8]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        axes.minorticks_off()
        words = [f"{w.words}\n({'at most' if w.most else 'at least'} {w.bound:g})" for w, _ in bars]
        axes.set_yticks(range(len(bars)), words)
        axes.invert_yaxis()
        axes.set_ylim(len(bars) - 0.4, -0.8)
        figure.supxlabel(
            "times better than the target (circle: met, square: not), with the measured figure", fontsize=9
        )
        figure.savefig(target)


if __name__ == "__main__":
    main()
