"""What the prefilter loses: how many of the picks of full scoring are still picked, with the real student.

    python benchmarks/prefilter.py [--questions 120] [--samples 5] [--share 0.1]
    python benchmarks/prefilter.py --data ../shared/data/svamp/train.jsonl.gz --questions 400

The demo's student drafts and scores all questions after its warm-up. Of many pools, each a random half of them, `top`
picks a share, once from all and once from those that `prefilter.keep` times as many surprising drafts leave; picks of
equal scores are the same pick. The last line is JSON: `ratio` is the median share of the picks that both make at a
`keep` of 4 (the `spread` is over the pools, which overlap: it is no interval for other questions), `kept` the mean for
each `keep` beside what a lot would keep, `saved` how many questions go without step scores, and `adaptive` which share
of the continuations `adaptive.few` spares at the same picks.
"""

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from heapq import nlargest
from random import Random
from typing import Any

from bare import drafted, warmed

from elad.records import Candidate
from elad.selection.pool import rank
from elad.selection.top import Top
from elad.tasks.numeric import Numeric
from elad.uncertainty.elad import Elad

TARGET = 0.8
KEEPS = (2, 4, 6)
CHUNK = 32


def main() -> None:
    """Prints the shares and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.1, help="of a pool that is picked")
    parser.add_argument("--pools", type=int, default=200)
    parser.add_argument("--data", action="append")
    args = parser.parse_args()
    candidates = scored(args.data or ["pool.jsonl"], args.questions, args.tokens, args.samples)
    told = verdict(shares(candidates, args.share, args.pools), args.share)
    spares = {few: round(spared(candidates, args.share, few, args.samples), 3) for few in range(1, args.samples)}
    print(json.dumps({"name": "prefilter", **told, "adaptive": spares}))


def scored(source: Sequence[str], questions: int, tokens: int, samples: int) -> list[Candidate]:
    """All questions, drafted and scored."""
    student, given = warmed(CHUNK, tokens)
    drafts = drafted(student, given, source, questions)
    measure = Elad(samples=samples, probe_tokens=6)
    found: list[Candidate] = []
    for start in range(0, len(drafts), CHUNK):
        part = drafts[start : start + CHUNK]
        scores = measure(part, student, given.task, given.seed)
        found += [
            Candidate(problem=problem, chain=chain, scores=one)
            for (problem, chain), one in zip(part, scores, strict=True)
        ]
        print(f"{len(found)} of {len(drafts)} scored", flush=True)
    return found


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


def spared(candidates: Sequence[Candidate], share: float, few: int, samples: int) -> float:
    """The share of continuations that are not drawn where `few` come first, and the others only where they matter."""
    count = max(1, round(share * len(candidates)))
    whole = [one.scores.aggregate if one.scores else 0.0 for one in candidates]
    most, done = [highest(one, few, samples) for one in candidates], set[int]()
    while open_ := [at for at in highest_places(most, count) if at not in done]:
        done.update(open_)
        for at in open_:
            most[at] = whole[at]
    drawn = [sum(map(len, one.scores.detail.get("sampled", ()))) if one.scores else 0 for one in candidates]
    kept = sum(full if at in done else full * few / samples for at, full in enumerate(drawn))
    return 1 - kept / sum(drawn)


def highest_places(most: Sequence[float], count: int) -> list[int]:
    """The places of the `count` highest, and of all that tie with the last of them."""
    bar = min(nlargest(count, most))
    return [at for at, one in enumerate(most) if one >= bar]


def highest(candidate: Candidate, few: int, samples: int) -> float:
    """The aggregate if none of the continuations after the first `few` agrees with the chain."""
    scores, chain, task = candidate.scores, candidate.chain, Numeric()
    assert scores is not None
    rows = scores.detail.get("sampled", ())
    if not any(rows):
        return scores.aggregate
    agreeing = [sum(task.same(chain.answer, one, candidate.problem) for one in row[:few]) for row in rows]
    both = zip(scores.parts["intra"], agreeing, strict=False)
    return statistics.fmean(0.5 * intra + 0.5 * (1 - agreed / samples) for intra, agreed in both)


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
