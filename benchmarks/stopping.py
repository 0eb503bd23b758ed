"""What stopping early would have saved in finished runs, and what it would have cost in accuracy.

    python benchmarks/stopping.py runs/sweep/*/seed-* [--rule '{kind: value, at_least: 0.1, per: question}']...

Each rule is asked before each round of the main arm of each run, with what that run would have shown it; nothing is run
again, and the runs should have gone on well beyond the place to stop. `saved` is the share of a run's money (of its
questions, where it cost none) that comes after the stop, `lost` the points of held-out accuracy between the stop and
the last round: one run's points are as noisy as its held-out set is small. The last line is JSON: `ratio` is the mean
share saved by the best of the rules that lose at most a point on average (null where none does), over the `runs` that
tell what the rule looks at; `spread` is over these. The best of many rules on the same runs flatters itself: choose it
on some, and measure it on others.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from elad.courses import Course, Measured
from elad.errors import InputError
from elad.kinds import build
from elad.ledger.course import measured
from elad.ledger.events import MAIN, Kind, Ledger
from elad.protocols import Stopping
from elad.records import digest

TARGET = 0.1
MOST_LOST = 1.0
RULES = (
    *(f"{{kind: value, at_least: {worth}, per: question}}" for worth in (0.02, 0.05, 0.1, 0.2)),
    *(f"{{kind: stable, agreement: {least}}}" for least in (0.99, 0.95, 0.9, 0.8)),
    *(f"{{kind: confident, below: {below}, share: {share}}}" for below in (0.1, 0.2, 0.4) for share in (1, 0.95)),
)


def main() -> None:
    """Prints what each rule saves and loses, and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--rule", action="append", help="in place of the rules that are tried")
    args = parser.parse_args()
    runs = [recorded(folder) for folder in args.runs]
    table = Table(
        "rule", "runs", "stopped", "saved", "lost, points", title="mean (least to most)", title_justify="left"
    )
    rows: list[dict[str, Any]] = []
    for text in args.rule or RULES:
        rule: Stopping = build("elad.stopping", yaml.safe_load(text), "--rule")
        for courses in runs:
            if not rule.needs_scores or all(course.left is not None for course in courses[:-1]):
                rows.append({"rule": text, **replayed(rule, courses)})
        mine = [row for row in rows if row["rule"] == text]
        if mine:
            stopped = str(sum(row["after"] is not None for row in mine))
            saved, lost = ([row[key] for row in mine] for key in ("saved", "lost"))
            table.add_row(text, str(len(mine)), stopped, spans(saved, ".0%"), spans(lost, ".1f"))
    Console().print(table)
    print(json.dumps({"name": "stopping", **verdict(rows)}))


def spans(values: Sequence[float], form: str) -> str:
    """The mean and what it is the mean of, in words."""
    return f"{fmean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def recorded(folder: Path) -> list[Course]:
    """What a rule would have seen before each round of a run, and after its last one."""
    with Ledger(folder, write=False) as ledger:
        arm = ledger.of(MAIN)
        rounds = measured(arm)
        if len(rounds) < 2:
            raise InputError(f"{folder}: has no round after the baseline")
        told = [event.payload["experiment"]["uncertainty"] for event in ledger.events(Kind.SESSION)][-1]
        scores: dict[int, list[float]] = {}
        for event in arm.events(Kind.DRAFT):  # scored by all samples: with `adaptive`, those that may be picked
            found = arm.get(Kind.SCORE, digest([event.key, told]))
            if found is not None:
                scores.setdefault(event.round, []).append(found["aggregate"])
    return [Course(rounds=rounds[:number], left=scores.get(number)) for number in range(1, len(rounds) + 1)]


def replayed(rule: Stopping, courses: Sequence[Course]) -> dict[str, Any]:
    """Where the rule stops a run, if it does, and what that saves and loses against the end of the run."""
    *before, whole = courses
    stops = (course.rounds for course in before if rule(course).stop)
    rounds = next(stops, whole.rounds)
    last, end = rounds[-1], whole.rounds[-1]
    total = cost(end, whole)
    return {
        "after": None if last is end else len(rounds) - 1,
        "saved": 1 - cost(last, whole) / total if total else 0.0,
        "lost": 100 * (fmean(end.right) - fmean(last.right)),
    }


def cost(one: Measured, whole: Course) -> float:
    """What had been spent by then: money, or questions where the run cost none."""
    return one.money if whole.rounds[-1].money else one.questions


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the rows say, but for the name."""
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_rule.setdefault(row["rule"], []).append(row)
    fit = [mine for mine in by_rule.values() if fmean(row["lost"] for row in mine) <= MOST_LOST]
    best = max(fit, key=lambda mine: fmean(row["saved"] for row in mine), default=None)
    saved = [row["saved"] for row in best or ()]
    return {
        "ratio": round(fmean(saved), 3) if saved else None,
        "target": TARGET,
        "met": fmean(saved) >= TARGET if saved else None,
        "runs": len(saved),
        "spread": [round(min(saved), 3), round(max(saved), 3)] if saved else None,
        "rule": best[0]["rule"] if best else None,
        "lost": round(fmean(row["lost"] for row in best), 2) if best else None,
    }


if __name__ == "__main__":
    main()
