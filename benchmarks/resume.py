"""Is a run that is killed again and again the same as one that is not? With the real student.

    python benchmarks/resume.py [--kills 10] [--out runs/resume] [--set control.share=0.5]...

One round on a part of the packaged sample, once in one go, once killed with SIGKILL at random moments and
resumed each time. Drafts, scores, picks, revisions, trained weights and grades must be equal, and no request
may have two replies. The last line is JSON; `ratio` is the share of events that are equal.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from elad.ledger.events import Kind, Ledger

SETTINGS = ("data.limit.pool=32", "data.limit.heldout=16", "rounds.count=1", "rounds.questions=8", "training.epochs=1")
UNCOUNTED = (Kind.SESSION, Kind.STATE, Kind.STAGE)


def main() -> None:
    """Prints what differs, if anything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs") / "resume")
    parser.add_argument("--set", action="append", default=[], help="one more key of the experiment: key.key=value")
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    started = time.monotonic()
    assert start(args.out / "whole", args.set).wait() == 0
    seconds = time.monotonic() - started
    kills = killed_run(args.out / "killed", args.set, args.kills, seconds, random.Random(args.seed))
    whole, killed = history(args.out / "whole"), history(args.out / "killed")
    equal = sum(killed.get(key) == value for key, value in whole.items())
    extra = sorted(set(killed) - set(whole))
    print(f"{len(whole)} events, {equal} equal after {kills} kills, {len(extra)} extra; whole run {seconds:.0f} s")
    ratio = equal / max(len(whole), len(killed))
    told = {"name": "resume", "ratio": ratio, "target": 1.0, "met": ratio == 1.0}
    print(json.dumps(told | {"runs": kills, "spread": [ratio, ratio]}))


def start(folder: Path, more: list[str]) -> "subprocess.Popen[bytes]":
    """The demo on a small part of its data, in a process of its own."""
    sets = [word for setting in (*SETTINGS, *more) for word in ("--set", setting)]
    return subprocess.Popen([sys.executable, "-m", "elad.cli", "demo", "--out", str(folder), "--json", *sets])


def killed_run(folder: Path, more: list[str], kills: int, seconds: float, rng: random.Random) -> int:
    """Kills the run at random moments, then lets it end; gives how many kills met it alive."""
    met = 0
    for _ in range(kills):
        process = start(folder, more)
        try:
            process.wait(timeout=rng.uniform(5, max(10, seconds / 2)))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            met += 1
    assert start(folder, more).wait() == 0
    return met


def history(folder: Path) -> dict[str, Any]:
    """Every event of work by kind and key, without times."""
    with Ledger(folder, write=False) as ledger:
        events = [event for event in ledger.events() if event.kind not in UNCOUNTED]
    replies = [event.key for event in events if event.kind is Kind.REPLY]
    assert len(replies) == len(set(replies)), "a request has two replies"
    return {f"{event.kind}/{event.key}/{event.arm}": timeless(event.payload) for event in events}


def timeless(value: Any) -> Any:
    """The same JSON value with every `seconds` taken out."""
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if key != "seconds"}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
