"""How quickly the review page answers over a large pool, and what memory it takes.

    python benchmarks/review.py [--sizes 5000 50000] [--repeats 15]

Each size is a process of its own. It writes a ledger of so many questions, drafted and scored, a tenth of them
bought, and the file that they come from; then it asks for each address again and again, through the whole application
without a network. The last line is JSON: `ratio` is the slowest address of the table, by its median at the larger size,
over the 200 ms that it may take; `bytes_a_question` is what the peak of memory grows by from the smaller size to the
larger. Both must meet their target. Reading the ledger when the page is opened is told (`open_seconds`), without one.
Times are of the processor, so that neighbours count little.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scale import experiment

from elad.claim import claim
from elad.experiment import Experiment
from elad.kinds import describe
from elad.ledger.events import Kind, Ledger
from elad.questions import read_data
from elad.records import Charge, Problem, digest, to_json

MOST_MS = 200.0
MOST_BYTES = 1024
BOUGHT = 10
"""One of so many."""
TABLE = {
    "first page": "/",
    "last page": "/?page={last}",
    "by place": "/?order=data&page={middle}",
    "filtered": "/?state=revised&outcome=repaired&review=none",
    "searched": "/?find=pens+and+buys+9",
    "nothing found": "/?find=nothing+like+it",
}
OTHERS = {"question": "/questions/{key}", "run": "/run"}


def main() -> None:
    """Prints what each size takes, and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs=2, default=[5000, 50_000])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measured(args.child, args.repeats)))
        return
    print(json.dumps({"name": "review", **verdict([of_size(size, args.repeats) for size in sorted(args.sizes)])}))


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the rows of a smaller and a larger size say, but for the name."""
    less, more = rows
    slowest = max((more["ms"][name] for name in TABLE), key=statistics.median)
    ratio = round(statistics.median(slowest) / MOST_MS, 3)
    a_question = round((more["peak_mib"] - less["peak_mib"]) * 2**20 / (more["questions"] - less["questions"]))
    return {
        "ratio": ratio,
        "target": 1.0,
        "met": ratio <= 1.0 and a_question <= MOST_BYTES,
        "runs": len(slowest),
        "spread": [round(min(slowest) / MOST_MS, 3), round(max(slowest) / MOST_MS, 3)],
        "bytes_a_question": a_question,
        "bytes_target": MOST_BYTES,
        "ms": {name: round(statistics.median(times), 1) for name, times in more["ms"].items()},
        "open_seconds": more["open_seconds"],
    }


def of_size(size: int, repeats: int) -> dict[str, Any]:
    """What a process of its own measures."""
    words = [sys.executable, __file__, "--child", str(size), "--repeats", str(repeats)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    row = json.loads(done.stdout.splitlines()[-1])
    slowest = max(statistics.median(row["ms"][name]) for name in TABLE)
    print(f"{size} questions: {slowest:.0f} ms, {row['peak_mib']:.1f} MiB, open in {row['open_seconds']} s", flush=True)
    return row


def measured(size: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of each address, and the peak of this process."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        given = experiment(folder, size, {"engine": "fake"})
        write(folder / "run", given)
        began = time.process_time()
        ms, seconds = asked(folder / "run", size, repeats, began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"questions": size, "ms": ms, "peak_mib": round(peak, 1), "open_seconds": round(seconds, 1)}


def asked(folder: Path, size: int, repeats: int, began: float) -> tuple[dict[str, list[float]], float]:
    """Milliseconds of each address in turn, and the seconds until the first could be asked for."""
    from starlette.testclient import TestClient

    from elad.web.app import application
    from elad.web.desk import Desk
    from elad.web.doors import Doors
    from elad.web.index import key_of
    from elad.web.wanted import PAGE_ROWS

    doors = Doors()
    token = doors.invite("measure")
    app = application(lambda: Desk(folder), doors, frozenset({"testserver"}), "measure")
    pages = -(-size // PAGE_ROWS)
    known = {"last": pages, "middle": pages // 2, "key": key_of("pool", f"q{BOUGHT}")}
    ms: dict[str, list[float]] = {name: [] for name in (*TABLE, *OTHERS)}
    with TestClient(app) as client:
        seconds = time.process_time() - began
        assert client.get("/enter", params={"token": token}).status_code == 200
        for name, address in list((TABLE | OTHERS).items()) * repeats:
            started = time.process_time()
            response = client.get(address.format(**known))
            ms[name].append(1000 * (time.process_time() - started))
            assert response.status_code == 200, response.text
    return ms, seconds


def write(folder: Path, given: Experiment) -> None:
    """A ledger as one round over the pool leaves it: drafts with scores, picks with revisions."""
    pool, heldout, warmup = read_data(given)
    measure = describe(given.uncertainty)
    with Ledger(folder, write=True) as ledger:
        claim(ledger, given, {"student": "none"}, {"pool": pool, "heldout": heldout, "warmup": warmup}, [])
        for start in range(0, len(pool), 500):
            part = pool[start : start + 500]
            scores = ((Kind.SCORE, digest([key_of_draft(one), measure]), score(one)) for one in part)
            ledger.append(Kind.DRAFT, ((key_of_draft(one), draft(one)) for one in part), round=1, beside=scores)
            ledger.append(Kind.PICK, picks(part), round=1)
            ledger.append(Kind.REVISION, revisions(part), round=1)


def key_of_draft(problem: Problem) -> str:
    """The key of its draft."""
    return digest(["draft", problem.id])


def text_of(problem: Problem) -> str:
    """A chain of three steps."""
    return f"{problem.rationale}\nSo that is all there is.\nThe answer is {problem.answer}."


def draft(problem: Problem) -> dict[str, Any]:
    """The payload of its draft."""
    steps: list[dict[str, Any]] = []
    at = 0
    for line in text_of(problem).splitlines(keepends=True):
        steps.append({"text": line, "start": at, "end": at + len(line)})
        at += len(line)
    chain = {"problem_id": problem.id, "text": text_of(problem), "steps": steps, "answer": problem.answer}
    return chain | {"outcome": "parsed", "sampling": {}, "seed": 0, "tokens": 24, "surprise": 0.5}


def score(problem: Problem) -> dict[str, Any]:
    """The payload of its scores; they differ from question to question."""
    share = int(digest(problem.id), 16) % 1000 / 1000
    detail = {"conclusions": ["1", "2", "3", problem.answer], "sampled": [["1"] * 5] * 3}
    parts = {"intra": [share, 0.0, 0.5], "inter": [share, 0.2, 0.5]}
    steps = [share, 0.1, 0.5]
    return {"parts": parts, "steps": steps, "aggregate": share, "confidence": 1 - share, "detail": detail}


def bought(part: list[Problem]) -> Iterator[Problem]:
    """Those of a part that are bought."""
    return (one for one in part if not int(one.id[1:]) % BOUGHT)


def picks(part: Any) -> Iterator[tuple[str, Any]]:
    """Their picks."""
    for one in bought(part):
        pick = {"problem_id": one.id, "rank": 0, "aggregate": 0.5, "parts": {}, "by": None, "problem": to_json(one)}
        yield digest(["pick", one.id]), pick


def revisions(part: Any) -> Iterator[tuple[str, Any]]:
    """Their revisions."""
    for one in bought(part):
        chain = {"before": text_of(one), "after": text_of(one), "answer": one.answer, "edit": one.rationale}
        judged = {
            "verdicts": ["wrong", "unjudged", "unjudged"],
            "first_error": 0,
            "reason": "",
            "reviser": "first_error",
        }
        charge = to_json(Charge(calls=2, tokens_in=300, tokens_out=40))
        told = {"problem_id": one.id, "outcome": "repaired", "charge": charge, "requests": [], "prompt_versions": []}
        yield digest(["revision", one.id]), chain | judged | told


if __name__ == "__main__":
    main()
