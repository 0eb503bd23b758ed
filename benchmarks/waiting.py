"""How long the student waits for the teacher in a run: the most that doing both at once could save.

    python benchmarks/waiting.py [--latency-ms 2000 ...] [--questions 20] [--rounds 2] [--pool 120] [--heldout 60]

The demo's run, but that the teacher is an endpoint (a local server that answers after a latency, with the recorded
rationale of the question) and the judge is `rollout`, whose revisions ask the student too. Waiting is what `revise`
takes without the student's own part of it. With several latencies there is a run for each. The last line is JSON:
`ratio` is the share of waiting in the seconds of all stages at the first latency, `stages` these seconds, and `shares`
the share at each latency.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.methods.elad import experiment
from elad.tasks.reading import read
from elad.testing import ChaosTeacher

TARGET = 0.1


def main() -> None:
    """Prints the share of waiting at each latency, and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latency-ms", type=float, nargs="+", default=[2000.0])
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pool", type=int, default=120)
    parser.add_argument("--heldout", type=int, default=60)
    parser.add_argument("--model", help="a folder or name that the demo's student is taken from in place of its own")
    args = parser.parse_args()
    runs: list[tuple[float, Counter[str]]] = []
    for latency in args.latency_ms:
        runs.append((latency, stages_of(args, latency)))
        print(f"{latency:g} ms: {waited(runs[-1][1]):.1%} of the stages' seconds", flush=True)
    print(json.dumps({"name": "waiting", **verdict(runs)}))


def verdict(runs: Sequence[tuple[float, Counter[str]]]) -> dict[str, Any]:
    """What the seconds of the stages say, by latency, but for the name."""
    stages = runs[0][1]
    share = waited(stages)
    told = {"ratio": round(share, 3), "target": TARGET, "met": share <= TARGET}
    told |= {"runs": 1, "spread": [round(share, 3)] * 2}
    told |= {"shares": {f"{latency:g}": round(waited(found), 3) for latency, found in runs}}
    return told | {"stages": {name: round(seconds, 1) for name, seconds in stages.items()}}


def waited(stages: Counter[str]) -> float:
    """The share of waiting: of `revise`, what the student does is `continue`, and counted in both."""
    return (stages["revise"] - stages["continue"]) / (stages.total() - stages["continue"])


def stages_of(args: argparse.Namespace, latency: float) -> Counter[str]:
    """The seconds of each stage of a run whose teacher answers after so many milliseconds."""
    given = experiment().but([f"student.model={args.model}"] if args.model else [])
    pool = read(["pool.jsonl"], columns={}, limit=None, base=given.base)
    known = {one.question: f"{one.rationale}\n{given.task.conclusion(one, one.answer or '')}" for one in pool}

    def answer(messages: Any) -> str:
        return next((text for question, text in known.items() if question in messages[-1]["content"]), "I do not know.")

    with ChaosTeacher(latency_ms=latency, answer=answer) as server, tempfile.TemporaryDirectory() as scratch:
        planned = given.but(
            [
                f"rounds.questions={args.questions}",
                f"rounds.count={args.rounds}",
                f"data.limit.pool={args.pool}",
                f"data.limit.heldout={args.heldout}",
            ],
            teacher={"kind": "openai", "base_url": server.base_url, "model": "m", "cache": False},
            reviser={"kind": "first_error"},
        )
        run(planned, Path(scratch))
        stages: Counter[str] = Counter()
        with Ledger(Path(scratch), write=False) as ledger:
            for event in ledger.events(Kind.STAGE):
                stages[event.payload["stage"]] += event.payload["seconds"]
    return stages


if __name__ == "__main__":
    main()
