"""A whole experiment on fakes: made-up questions, the scripted student, the teacher without a model."""

import json
from pathlib import Path
from random import Random
from typing import Any

from elad.experiment import Data, Experiment
from elad.ledger.events import MAIN, Kind, Ledger
from elad.records import Problem

NAMES = ("Ana", "Ben", "Cem", "Dina", "Eli", "Fay")


def problems(count: int, seed: int, prefix: str) -> tuple[Problem, ...]:
    """Addition stories with a reference solution."""
    rng = Random(seed)
    made: list[Problem] = []
    for i in range(count):
        a, b, c = rng.randint(2, 90), rng.randint(2, 90), rng.randint(2, 90)
        name = rng.choice(NAMES)
        made.append(
            Problem(
                id=f"{prefix}{i}",
                question=f"{name} has {a} pens. {name} buys {b} pens and finds {c} pens. How many pens are there?",
                answer=str(a + b + c),
                rationale=f"{a} + {b} = {a + b}.\n{a + b} + {c} = {a + b + c}.",
            )
        )
    return tuple(made)


def experiment(*overrides: str, **sections: Any) -> Experiment:
    """Two rounds of eight questions from a pool of thirty."""
    raw: dict[str, Any] = {
        "name": "fake",
        "data": Data(pool=problems(30, 1, "p"), heldout=problems(12, 2, "h"), warmup=problems(4, 3, "w")),
        "task": {"kind": "numeric"},
        "student": {"engine": "fake"},
        "teacher": {"kind": "reference"},
        "uncertainty": {"kind": "elad", "samples": 2},
        "reviser": {"kind": "first_error", "judge": "direct"},
        "rounds": {"count": 2, "questions": 8},
    }
    return Experiment.of(raw | sections).but(overrides)


def history(folder: Path, arm: str | None = MAIN) -> dict[str, Any]:
    """What a run did, without times: the payload of every event of work, by kind and key; of all arms, also by arm."""
    timeless = (Kind.SESSION, Kind.STATE, Kind.STAGE)
    with Ledger(folder, write=False) as ledger:
        return {
            f"{event.kind}/{event.key}" + f"/{event.arm}" * (arm is None): without_seconds(event.payload)
            for event in ledger.of(arm).events()
            if event.kind not in timeless
        }


def without_seconds(value: Any) -> Any:
    """The same JSON value with every `seconds` taken out."""
    if isinstance(value, dict):
        return {key: without_seconds(inner) for key, inner in value.items() if key != "seconds"}
    if isinstance(value, list):
        return [without_seconds(inner) for inner in value]
    return value


def as_text(value: Any) -> str:
    """Canonical JSON, for comparing."""
    return json.dumps(value, sort_keys=True)
