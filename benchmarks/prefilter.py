"""What the prefilter loses: how many of the picks of full scoring are still picked, with the real student.

    python benchmarks/prefilter.py [--questions 120] [--samples 5] [--share 0.1]
    python benchmarks/prefilter.py --data ../shared/data/svamp/train.jsonl.gz --questions 400

The demo's student after its warm-up, or another (`--model`), drafts and scores all questions. Of many pools, each a
random half of them, `top` picks a share, once from all and once from those that `prefilter.keep` times as many
surprising drafts leave; picks of equal scores are the same pick. The last line is JSON: `ratio` is the median share of
the picks that both make at a `keep` of 4 (the `spread` is over the pools, which overlap: it is no interval for other
questions), `kept` the mean for each `keep` beside what a lot would keep, and `saved` how many questions go without
step scores. `adaptive` tells of a round with `adaptive.few` that is scored anew: which share of the continuations it
`spared`, and which of the picks it `agreed` on (in bfloat16 a draw hangs on what is drawn beside it, so that it need
not be 1).
"""

import argparse
import json
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from heapq import nlargest
from pathlib import Path
from random import Random
from typing import Any

from bare import choose_model, drafted, warmed

from elad.experiment import Experiment
from elad.records import Candidate
from elad.selection.pool import rank
from elad.selection.top import Top
from elad.stages.scoring import score
from elad.world import World

TARGET = 0.8
KEEPS = (2, 4, 6)
CHUNK = 32


def main() -> None:
    """Prints the shares and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--few", type=int, default=2, help="continuations that come first, with `adaptive.few`")
    parser.add_argument("--share", type=float, default=0.1, help="of a pool that is picked")
    parser.add_argument("--pools", type=int, default=200)
    parser.add_argument("--data", action="append")
    choose_model(parser)
    args = parser.parse_args()
    student, given = warmed(CHUNK, args.tokens, args.model)
    given = given.but(uncertainty={"kind": "elad", "samples": args.samples})
    count = max(1, round(args.share * args.questions))
    with tempfile.TemporaryDirectory() as scratch:
        drafts = drafted(student, given, args.data or ["pool.jsonl"], args.questions)
        whole = scored(student, given, drafts, count, Path(scratch) / "whole")
        gradual = scored(student, given.but([f"adaptive.few={args.few}"]), drafts, count, Path(scratch) / "few")
    told = verdict(shares(whole, args.share, args.pools), args.share)
    adaptive = {"few": args.few, "spared": round(1 - drawn(gradual) / drawn(whole), 3)}
    adaptive["agreed"] = round((picked(whole, count, 0) & picked(gradual, count, 0)).total() / count, 3)
    print(json.dumps({"name": "prefilter", **told, "adaptive": adaptive}))


def scored(student: Any, given: Experiment, drafts: Sequence[Any], count: int, folder: Path) -> list[Candidate]:
    """All drafts as a round that picks `count` scores them."""
    with World.open(given, folder) as world:
        world.student = student
        return list(score(world, drafts, 1, count))


def drawn(candidates: Sequence[Candidate]) -> int:
    """How many continuations were drawn."""
    return sum(sum(map(len, one.scores.detail.get("sampled", ()))) for one in candidates if one.scores)


def shares(candidates: Sequence[Candidate], share: float, pools: int) -> list[dict[int, float]]:
    """By `keep`, the share of a pool's picks that are picked with the prefilter too; one row for each pool."""
    rng = Random(0)
    rows: list[dict[int, float]] = []
    for number in range(pools):
        pool = rng.sample(candidates, len(candidates) // 2)
        count = max(1, round(share * len(pool)))
        full = picked(pool, count, number)
        rows.append({})
        for keep in KEEPS:
            kept = nlargest(keep * count, pool, key=lambda one: one.chain.surprise or 0.0)
            rows[-1][keep] = (full & picked(kept, count, number)).total() / count
    return rows


def picked(pool: Sequence[Candidate], count: int, seed: int) -> Counter[tuple[float, float]]:
    """What is picked, told apart by what it is picked for."""
    named = {one.problem.id: rank(one, "top") for one in pool}
    return Counter(named[key] for key in Top()(pool, count, Random(seed)))


def verdict(rows: list[dict[int, float]], share: float) -> dict[str, Any]:
    """What the rows say, but for the name."""
    at_four = sorted(row[4] for row in rows)
    ratio = statistics.median(at_four)
    return {
        "ratio": round(ratio, 3),
        "target": TARGET,
        "met": ratio >= TARGET,
        "runs": len(rows),
        "spread": [round(at_four[len(rows) // 20], 3), round(at_four[-1 - len(rows) // 20], 3)],
        "kept": {keep: round(statistics.fmean(row[keep] for row in rows), 3) for keep in KEEPS},
        "by_lot": {keep: min(1.0, round(keep * share, 3)) for keep in KEEPS},
        "saved": {keep: max(0.0, round(1 - keep * share, 3)) for keep in KEEPS},
    }


if __name__ == "__main__":
    main()
