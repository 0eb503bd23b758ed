"""How long the student waits for the teacher in a run: the most that doing both at once could save.

    python benchmarks/waiting.py [--latency-ms 2000] [--questions 20] [--rounds 2] [--pool 120] [--heldout 60]

The demo's run, but that the teacher is an endpoint (a local server that answers after a latency, with the recorded
rationale of the question) and the judge is `rollout`, whose revisions ask the student too. Waiting is what `revise`
takes without the student's own part of it. The last line is JSON: `ratio` is the share of waiting in the seconds of all
stages, `stages` these seconds.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.methods.elad import experiment
from elad.tasks.reading import read
from elad.testing import ChaosTeacher

TARGET = 0.1


def main() -> None:
    """Prints the seconds of each stage and the share of waiting."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latency-ms", type=float, default=2000.0)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pool", type=int, default=120)
    parser.add_argument("--heldout", type=int, default=60)
    parser.add_argument("--model", help="a folder or name that the demo's student is taken from in place of its own")
    args = parser.parse_args()
    given = experiment().but([f"student.model={args.model}"] if args.model else [])
    pool = read(["pool.jsonl"], columns={}, limit=None, base=given.base)
    known = {one.question: f"{one.rationale}\n{given.task.conclusion(one, one.answer or '')}" for one in pool}

    def answer(messages: Any) -> str:
        return next((text for question, text in known.items() if question in messages[-1]["content"]), "I do not know.")

    with ChaosTeacher(latency_ms=args.latency_ms, answer=answer) as server, tempfile.TemporaryDirectory() as scratch:
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
        with Ledger(Path(scratch), write=False) as ledger:
            stages: Counter[str] = Counter()
            for event in ledger.events(Kind.STAGE):
                stages[event.payload["stage"]] += event.payload["seconds"]
    total = stages.total() - stages["continue"]  # it is within `revise`
    share = (stages["revise"] - stages["continue"]) / total
    told = {"name": "waiting", "ratio": round(share, 3), "target": TARGET, "met": share <= TARGET}
    told |= {"runs": 1, "spread": [round(share, 3)] * 2}
    print(json.dumps(told | {"stages": {name: round(seconds, 1) for name, seconds in stages.items()}}))


if __name__ == "__main__":
    main()
