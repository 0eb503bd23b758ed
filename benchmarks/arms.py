"""What the evidence is made of: the arms, the settings with their sizes, and how their questions are drawn."""

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from elad.errors import DataError
from elad.records import digest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
DRAWN = 20260101
"""What draws the questions: the same ones for all seeds, so that runs are compared question by question."""
PARTS = ("pool", "heldout", "warmup")
REWRITE = {"kind": "rewrite", "max_tokens": 256}
REPAIR = {"kind": "first_error", "judge": "direct", "max_tokens": 256}
SCORE = {"kind": "elad", "samples": 2}
ARMS: dict[str, dict[str, Any]] = {
    "random": {"selector": "random"},
    "elad": {"uncertainty": SCORE},
    "entropy": {"uncertainty": {"kind": "entropy", "samples": 5}},
    "disagreement": {"uncertainty": {"kind": "disagreement", "samples": 5}},
    "perplexity": {"uncertainty": "perplexity"},
    "oracle": {"selector": {"kind": "oracle", "analysis": True}},
    "elad_intra": {"uncertainty": SCORE | {"weight": 1.0}},
    "elad_inter": {"uncertainty": SCORE | {"weight": 0.0}},
    "elad_max": {"uncertainty": SCORE | {"aggregate": "max"}},
    "elad_soft": {"uncertainty": SCORE | {"soft": True}},
    "elad_settled": {"uncertainty": SCORE | {"settled": True}},
    "elad_five": {"uncertainty": SCORE | {"samples": 5}},
    "answered": {"selector": "random", "reviser": "answer_only"},
    "repaired": {"selector": "random", "reviser": REPAIR},
    "revised": {"uncertainty": SCORE, "reviser": REPAIR},
    "revised_by_student": {"uncertainty": SCORE, "reviser": REPAIR | {"continue": "student"}},
    "ifd": {
        "uncertainty": {"kind": "elad.methods.ifd:Ifd"},
        "selector": {"kind": "elad.methods.ifd:Cherry", "experience": None},
    },
    "ifd_length": {
        "uncertainty": {"kind": "elad.methods.ifd:Ifd"},
        "selector": {"kind": "elad.methods.ifd:LengthMatched", "like": {"experience": None}},
    },
}
"""What decides the picks, and in the settings with a reference what is done to them; nothing else."""
USUAL = {
    "": ("elad", "random", "entropy", "disagreement", "oracle"),
    "_given": ("random", "ifd", "ifd_length"),
    "_reference": ("revised", "random", "repaired", "answered"),
}
"""The arms that go with a setting by default, by how its name ends."""
SETTINGS: dict[str, dict[str, Any]] = {
    "words": {
        "sets": ("svamp", "multiarith", "addsub", "singleeq"),
        "teacher": "gpt-3.5",
        "sizes": {"warmup": 100, "pool": 120, "heldout": 140},
        "raw": {"task": "numeric", "drafting": {"max_tokens": 64}},
    },
    "esnli": {
        "sets": ("esnli",),
        "teacher": "palm-540b",
        "sizes": {"warmup": 60, "pool": 120, "heldout": 140},
        "raw": {"task": "choice", "drafting": {"max_tokens": 40}},
    },
    "last_letters": {
        "sets": ("last_letters",),
        "teacher": "gpt-3.5-turbo-instruct",
        "sizes": {"warmup": 40, "pool": 80, "heldout": 30},
        "raw": {"task": "text", "drafting": {"max_tokens": 72}},
    },
    "strategyqa": {
        "sets": ("strategyqa",),
        "teacher": "gpt-4o",
        "sizes": {"warmup": 60, "pool": 120, "heldout": 130},
        "raw": {"task": "choice", "drafting": {"max_tokens": 96}},
    },
}
SETTINGS |= {
    f"{name}{end}": setting | {"ends": end} for name, setting in SETTINGS.items() for end in ("_given", "_reference")
}
SMALL: dict[str, Any] = {
    "sizes": {"warmup": 60, "pool": 100, "heldout": 100},
    "rounds": {"count": 1, "questions": 30},
}
SMALL_SETTING, SMALL_ARMS, SMALL_SEEDS = "esnli", ("elad", "random"), (0, 1, 2)
"""What `make evidence` makes anew: short rows, and a task that a student of this size is not hopeless at."""
COMMON: dict[str, Any] = {
    "student": {"engine": "transformers", "model": "smollm2-135m"},
    "reviser": REWRITE,
    "training": {"warm_start": True, "epochs": 3},
    "rounds": {"count": 2, "questions": 30},
}


def drawn(setting: dict[str, Any], sizes: dict[str, int], *, heldout: str, aside: bool) -> dict[str, str]:
    """Pool, held-out and warm-up rows as JSON lines; every one of the train file has an explanation of the teacher."""
    rng = Random(DRAWN)
    asked = [row for row in rows(setting["sets"], heldout) if is_aside(row) is aside]
    known = {row["question"] for split in ("validation", "test") for row in rows(setting["sets"], split)}
    train = [row for row in rows(setting["sets"], "train") if row["question"] not in known and said(row, setting)]
    for one in (asked, train):
        rng.shuffle(one)
    explained = [row | {"rationale": said(row, setting)["text"]} for row in train if said(row, setting)["correct"]]
    warmup = [row for row in explained if not is_aside(row)][: sizes["warmup"]]
    taken = {row["id"] for row in warmup}
    pool = [row for row in (explained if setting.get("ends") else train) if is_aside(row) is aside]
    parts = {"pool": [row for row in pool if row["id"] not in taken], "heldout": asked, "warmup": warmup}
    for name, found in parts.items():
        if len(found) < sizes[name]:
            raise DataError(f"{name}: {sizes[name]} questions are asked for, and there are {len(found)}")
    return {
        name: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found[: sizes[name]])
        for name, found in parts.items()
    }


def is_aside(row: dict[str, Any]) -> bool:
    """Whether a question is of the third that is kept aside, whatever else is drawn."""
    return int(digest(row["question"])[:8], 16) % 3 == 0


def said(row: dict[str, Any], setting: dict[str, Any]) -> Any:
    """The first rationale that the setting's teacher has written for a row; None where there is none."""
    return next((one for one in row["teacher_rationales"] if one["teacher"] == setting["teacher"]), None)


def rows(sets: Sequence[str], split: str) -> Iterator[dict[str, Any]]:
    """The rows of some sets; a question that stands in several of them comes once."""
    seen: set[str] = set()
    for name in sets:
        with gzip.open(SHARED / name / f"{split}.jsonl.gz", "rt", encoding="utf-8") as file:
            for row in map(json.loads, file):
                if row["question"] not in seen:
                    seen.add(row["question"])
                    yield row
