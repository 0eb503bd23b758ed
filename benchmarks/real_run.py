"""Real runs with a real teacher: arms side by side, resumable, reported as they come out.

    python examples/serve_gguf.py qwen2.5-coder-1.5b --port 8080 &
    python benchmarks/real_run.py arithmetic --teacher http://127.0.0.1:8080/v1#qwen2.5-coder-1.5b
    python benchmarks/real_run.py recorded
    python benchmarks/real_run.py drafts
    python benchmarks/real_run.py report

Needs the real data beside the checkout (`../shared/data`). Stopped, it goes on with the same command.
"""

import argparse
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from elad.evaluation.intervals import bootstrap_mean
from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.report.console import ConsoleProgress
from elad.report.status import status
from elad.sample import folder as sample_folder

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
ARITHMETIC = ("svamp", "multiarith", "addsub", "singleeq")
FIRST_ERROR = {"kind": "first_error", "judge": "rollout", "repair": "blind", "continue": "teacher", "max_tokens": 128}
ELAD = {"kind": "elad", "samples": 1, "probe_tokens": 8}

SETTINGS: dict[str, dict[str, Any]] = {
    "arithmetic": {
        "sets": ARITHMETIC,
        "sizes": (200, 150),
        "task": "numeric",
        "rounds": {"count": 3, "questions": 40},
        "drafting": {"max_tokens": 48},
        "arms": {
            "elad": {"uncertainty": ELAD, "reviser": FIRST_ERROR},
            "random": {"selector": {"kind": "random"}, "reviser": FIRST_ERROR},
            "rewrite": {"uncertainty": ELAD, "reviser": {"kind": "rewrite", "max_tokens": 128}},
        },
    },
    "choice": {
        "sets": ("strategyqa",),
        "sizes": (100, 100),
        "task": "choice",
        "rounds": {"count": 2, "questions": 30},
        "drafting": {"max_tokens": 80},
        "warmup": 24,
        "arms": {"elad": {"uncertainty": ELAD, "reviser": FIRST_ERROR}},
    },
    "recorded": {
        "sets": ("svamp",),
        "sizes": (120, 100),
        "task": "numeric",
        "rounds": {"count": 2, "questions": 30},
        "drafting": {"max_tokens": 48},
        "arms": {
            "elad": {
                "teacher": {"kind": "recorded", "name": "gpt-3.5"},
                "uncertainty": ELAD,
                "reviser": {"kind": "rewrite"},
            }
        },
    },
    # Chains of students at several stages, for benchmarks/revisers.py; costs no teacher.
    "drafts": {
        "sets": ARITHMETIC,
        "sizes": (400, 50),
        "task": "numeric",
        "rounds": {"count": 2, "questions": 80},
        "drafting": {"max_tokens": 48},
        "arms": {
            "random": {
                "teacher": "reference",
                "selector": {"kind": "random"},
                "reviser": {"kind": "first_error", "judge": "direct"},
            }
        },
    },
}


def main() -> None:
    """Runs the arms of one setting, or prints the report of all that was run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("setting", choices=[*SETTINGS, "report"])
    parser.add_argument("--teacher", default="", help="URL#model")
    parser.add_argument("--arm", action="append", help="only these arms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs") / "real")
    args = parser.parse_args()
    if args.setting == "report":
        print(report(args.out))
        return
    setting = SETTINGS[args.setting]
    for arm in args.arm or setting["arms"]:
        target = args.out / f"{args.setting}-{args.seed}" / arm
        experiment = built(args.setting, arm, args.teacher, args.seed, target.parent)
        Console(stderr=True).rule(f"{args.setting} {arm}")
        run(experiment, target, ConsoleProgress(Console(stderr=True)))


def built(name: str, arm: str, teacher: str, seed: int, base: Path) -> Experiment:
    """The experiment of one arm; its data are written beside the arms, sampled by the seed."""
    setting = SETTINGS[name]
    write_data(setting, seed, base)
    url, _, model = teacher.rpartition("#")
    raw = {
        "name": f"{name}-{arm}",
        "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl", "warmup": "warmup.jsonl"},
        "task": {"kind": setting["task"]},
        "student": {"engine": "transformers", "model": "smollm2-135m"},
        "teacher": {"kind": "openai", "base_url": url, "model": model, "concurrency": 4, "timeout_seconds": 600},
        "rounds": setting["rounds"],
        "drafting": setting["drafting"],
        "seed": seed,
    }
    return Experiment.of(raw | setting["arms"][arm], base=base.resolve())


def write_data(setting: dict[str, Any], seed: int, base: Path) -> None:
    """Pool (of the train files), held-out (of the test files) and warm-up rows, once."""
    if (base / "warmup.jsonl").exists():
        return
    base.mkdir(parents=True, exist_ok=True)
    rng = Random(seed)
    pool_size, heldout_size = setting["sizes"]
    extra = setting.get("warmup", 0)
    train = rng.sample(list(rows(setting["sets"], "train")), pool_size + extra)
    heldout = rng.sample(list(rows(setting["sets"], "test")), heldout_size)
    warmup = [row for row in train[pool_size:] if row["rationale"]]
    if not extra:
        packaged = (sample_folder() / "warmup.jsonl").read_text(encoding="utf-8").splitlines()
        asked = {row["question"] for row in train}
        warmup = [row for row in map(json.loads, packaged) if row["question"] not in asked]
    for name, part in (("pool", train[:pool_size]), ("heldout", heldout), ("warmup", warmup)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in part)
        (base / f"{name}.jsonl").write_text(text, encoding="utf-8")


def rows(sets: tuple[str, ...], split: str) -> Iterator[dict[str, Any]]:
    """The rows of some sets; a question that stands in several of them comes once."""
    seen: set[str] = set()
    for name in sets:
        with gzip.open(SHARED / name / f"{split}.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                if row["question"] not in seen:
                    seen.add(row["question"])
                    yield row


def report(out: Path) -> str:
    """Every run under `out` as Markdown tables."""
    parts: list[str] = []
    for ledger in sorted(out.glob("*/*/ledger.sqlite")):
        told = status(ledger.parent)
        parts.append(f"### {ledger.parent.parent.name} / {ledger.parent.name}: {told['state']} ({told['reason']})\n")
        parts.append(
            "| round | bought | accuracy | 95 % interval | lenient | parsed | steps | tokens in / out | seconds |"
        )
        parts.append("|--:|--:|--:|---|--:|--:|--:|--:|---|")
        for row in told["rounds"]:
            low, high = row["intervals"]["accuracy"]
            seconds = ", ".join(f"{stage} {value:.0f}" for stage, value in row["seconds"].items())
            parts.append(
                f"| {row['round']} | {row['questions']} | {row['accuracy']:.1%} | {low:.1%} to {high:.1%} "
                f"| {row['accuracy_lenient']:.1%} | {row['parsed']:.1%} | {row['steps']:.1f} "
                f"| {row['tokens_in']} / {row['tokens_out']} | {seconds} |"
            )
        spent = told["spent"]
        revisions = ", ".join(f"{name} {count}" for name, count in sorted(told["outcomes"].get("revision", {}).items()))
        parts.append(f"\nRevisions: {revisions}. Teacher: {spent['calls']} calls, {spent['tokens_in']} tokens in, ")
        parts.append(f"{spent['tokens_out']} out; {spent['seconds']:.0f} s in {told['sessions']} session(s).\n")
    return "\n".join([*parts, *differences(out)])


def differences(out: Path) -> Iterator[str]:
    """The last round of every arm against that of `elad`, question by question, with a paired bootstrap."""
    for ledger in sorted(out.glob("*/elad/ledger.sqlite")):
        first = last_grades(ledger.parent)
        for other in sorted(ledger.parent.parent.glob("*/ledger.sqlite")):
            second = last_grades(other.parent)
            if other != ledger and set(first) == set(second):
                apart = [float(first[name]) - float(second[name]) for name in sorted(first)]
                low, high = bootstrap_mean(apart, seed=0)
                yield (
                    f"{ledger.parent.parent.name}: elad minus {other.parent.name}, last round: "
                    f"{100 * sum(apart) / len(apart):+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), "
                    f"{len(apart)} questions"
                )


def last_grades(folder: Path) -> dict[str, bool]:
    """Whether each held-out question was right in the last round."""
    with Ledger(folder, write=False) as ledger:
        events = list(ledger.events(Kind.GRADE))
    last = max((event.round for event in events), default=0)
    grades = [event.payload["grade"] for event in events if event.round == last]
    return {grade["problem_id"]: grade["strict"] for grade in grades}


if __name__ == "__main__":
    main()
