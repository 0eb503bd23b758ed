"""Time and memory of one round against the size of the pool.

    python benchmarks/scale.py [--sizes 500 5000 50000] [--tiny] [--repeats 1] [--plot runs/bench/scale.svg]

Each size is a process of its own, which makes a whole run of one round over a file of so many questions: all are
read, drafted and scored, 40 are picked, revised from their references and learnt from. The student is the scripted
one, or with `--tiny` a transformers model of two layers with random weights. Seconds are of the processor, so that
neighbours count little. The last line is JSON: `ratio` is what a further question takes between the two largest
sizes over what it takes between the two smallest, 1 where time grows linearly; `bytes_a_question` is what the peak
grows by between the two largest, when caches are full and allocators warm. Both must meet their target. The plot shows
seconds and peak of each run against the size of its pool.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from elad.experiment import Data, Experiment
from elad.loop import run
from elad.records import Problem

TARGET = 1.2
MOST_BYTES = 1024
PICKED = 40
UNIT_TESTS = Path(__file__).resolve().parents[1] / "tests" / "unit"


def main() -> None:
    """Prints seconds and peak of each size, and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 5000, 50_000], help="three or more")
    parser.add_argument("--tiny", action="store_true", help="a transformers model made from a configuration")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--plot", type=Path, default=Path("runs/bench/scale.svg"))
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if len(set(args.sizes)) < 3:
        parser.error("--sizes: three or more, so that growth can be told from what every run takes")
    if args.child:
        print(json.dumps(measured(args.child, tiny=args.tiny)))
        return
    rows = [of_size(size, args.tiny) for _ in range(args.repeats) for size in args.sizes]
    told = verdict(rows)
    args.plot.parent.mkdir(parents=True, exist_ok=True)
    picture(rows, args.plot)
    print(json.dumps({"name": "scale", **told, "engine": "transformers" if args.tiny else "fake"}))


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the rows say, but for the name."""
    sizes = sorted({row["questions"] for row in rows})
    by_size = {size: [row for row in rows if row["questions"] == size] for size in sizes}

    def further(smaller: int, larger: int) -> list[float]:
        """Seconds of each question that a larger pool has more."""
        pairs = zip(by_size[smaller], by_size[larger], strict=True)
        return [(more["seconds"] - less["seconds"]) / (larger - smaller) for less, more in pairs]

    pairs = zip(further(*sizes[-2:]), further(*sizes[:2]), strict=True)
    ratios = [last / first for last, first in pairs]
    ratio = round(statistics.median(ratios), 3)
    peaks = [max(row["peak_mib"] for row in by_size[size]) for size in sizes]
    a_question = round((peaks[-1] - peaks[-2]) * 2**20 / (sizes[-1] - sizes[-2]))
    return {
        "ratio": ratio,
        "target": TARGET,
        "met": ratio <= TARGET and a_question <= MOST_BYTES,
        "runs": len(ratios),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "bytes_a_question": a_question,
        "bytes_target": MOST_BYTES,
    }


def picture(rows: list[dict[str, Any]], target: Path) -> None:
    """Seconds and peak against the pool's size, each run a mark; dashed is what the targets would allow."""
    from matplotlib import rc_context  # not in the processes whose memory is measured
    from matplotlib.figure import Figure

    sizes = sorted({row["questions"] for row in rows})
    with rc_context({"svg.hashsalt": "elad", "svg.fonttype": "path", "font.size": 9}):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        for axes, (key, words) in zip(
            figure.subplots(1, 2), {"seconds": "seconds of the processor", "peak_mib": "peak memory, MiB"}.items(),
            strict=True,
        ):  # fmt: skip
            means = [statistics.fmean(row[key] for row in rows if row["questions"] == size) for size in sizes]
            rate = (means[1] - means[0]) / (sizes[1] - sizes[0]) * TARGET if key == "seconds" else MOST_BYTES / 2**20
            allowed = [means[1] + rate * (size - sizes[1]) for size in sizes[1:]]
            axes.plot(sizes, means, color="#0072B2")
            axes.plot(sizes[1:], allowed, color="0.4", ls="--")
            axes.scatter([row["questions"] for row in rows], [row[key] for row in rows], color="#0072B2", s=16)
            axes.set_xlabel("questions of the pool")
            axes.set_ylabel(words)
            axes.set_ylim(bottom=0)
        figure.savefig(target, metadata={"Date": None})


def of_size(size: int, tiny: bool) -> dict[str, Any]:
    """What a process of its own measures."""
    words = [sys.executable, __file__, "--child", str(size), *(["--tiny"] if tiny else [])]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # threads that wait for one another would be all that is measured
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=alone)
    row = json.loads(done.stdout.splitlines()[-1])
    print(f"{size} questions: {row['seconds']:.1f} s, {row['peak_mib']:.1f} MiB", flush=True)
    return row


def measured(size: int, *, tiny: bool) -> dict[str, Any]:
    """Seconds and peak of a run in this process."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        given = experiment(folder, size, student(folder) if tiny else {"engine": "fake"})
        started = time.process_time()
        rounds = run(given, folder / "run")
        seconds = time.process_time() - started
    assert len(rounds[-1].picks) == PICKED, rounds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"questions": size, "seconds": round(seconds, 2), "peak_mib": round(peak, 1)}


def experiment(folder: Path, size: int, student: dict[str, Any]) -> Experiment:
    """One round over a file of sums."""
    pool = folder / "pool.jsonl"
    with pool.open("w", encoding="utf-8") as file:
        for n in range(size):
            a, b = n + 2, n % 97 + 2
            asked = f"Ana has {a} pens and buys {b} pens. How many pens does Ana have now?"
            row = {"id": f"q{n}", "question": asked, "answer": str(a + b), "rationale": f"{a} + {b} = {a + b}."}
            file.write(json.dumps(row) + "\n")
    held_out = Problem(id="h", question="Ben has 2 pens and buys 3 pens. How many pens does Ben have now?", answer="5")
    return Experiment.of(
        {
            "data": Data(pool=(str(pool),), heldout=(held_out,)),
            "task": {"kind": "numeric"},
            "student": student,
            "teacher": {"kind": "reference"},
            "uncertainty": {"kind": "elad", "samples": 1, "probe_tokens": 4},
            "reviser": {"kind": "first_error", "judge": "direct"},
            "drafting": {"max_tokens": 16},
            "training": {"epochs": 1},
            "rounds": {"count": 1, "questions": PICKED},
        }
    )


def student(folder: Path) -> dict[str, Any]:
    """A model of random weights, the one that the tests use."""
    sys.path.append(str(UNIT_TESTS))
    import tiny_model

    model = tiny_model.save(folder / "model")
    return {"engine": "transformers", "model": str(model), "dtype": "float32"}


if __name__ == "__main__":
    main()
