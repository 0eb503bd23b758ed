"""The plan of an experiment: what its rounds will take from the teacher, and what the budget buys of that."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from elad.errors import StudentError
from elad.experiment import Experiment
from elad.ledger.budget import Budget
from elad.ledger.events import PLAN_FILE
from elad.ledger.prices import Price
from elad.plan.forecast import Evidence, Forecast, Terms, forecast
from elad.plan.rehearsal import rehearse, seen
from elad.protocols import Student
from elad.records import to_json
from elad.world import open_student, read_data

SAMPLE = 24
"""Questions of the pool that are rehearsed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A forecast, and what it rests on."""

    wanted: Forecast
    """All questions that the rounds and the pool allow."""
    buys: int
    """How many of them the caps will bear in all likelihood: the forecast's upper end fits."""
    fits: bool
    priced: bool
    currency: str | None
    cacheable: float
    """Share of the prompts that an endpoint with a prefix cache sees again and again, 0..1."""
    rehearsed: int
    drafted: int
    """How many of the rehearsed chains the student itself wrote."""
    seen: int
    """Revisions of earlier runs with the same teacher and reviser."""


def plan(experiment: Experiment, earlier: Sequence[Path] = (), *, drafts: bool = True) -> Plan:
    """What the experiment will cost. Nothing is asked of the teacher.

    With `drafts` the student writes the rehearsed chains, where it can be loaded. Raises: the errors of
    reading data and configuration.
    """
    pool = read_data(experiment)[0]
    sample = Random(experiment.seed).sample(pool, min(SAMPLE, len(pool)))
    student = _student(experiment) if drafts else None
    rehearsal = rehearse(experiment, sample, student)
    evidence = Evidence(good=rehearsal.good, clumsy=rehearsal.clumsy, seen=seen(earlier, experiment))
    terms = _terms(experiment)
    wanted = min(len(pool), experiment.rounds.count * experiment.rounds.questions)
    count = experiment.budget.questions_left(0, wanted)

    def cost(questions: int) -> Forecast:
        return forecast(evidence, questions, terms, experiment.seed)

    buys = _most(count, lambda questions: _fits(experiment.budget, cost(questions)))
    return Plan(
        wanted=cost(wanted),
        buys=buys,
        fits=buys == wanted,
        priced=terms.price is not None,
        currency=terms.price.currency if terms.price else None,
        cacheable=rehearsal.cacheable,
        rehearsed=len(sample),
        drafted=rehearsal.drafted,
        seen=len(evidence.seen),
    )


def told(plan: Plan) -> dict[str, Any]:
    """The plan as plain JSON values, the forecast's figures on the same level as the rest."""
    plain = to_json(plan)
    return plain.pop("wanted") | plain


def keep(plan: Plan, folder: Path) -> None:
    """Writes the plan beside the ledger that is to come, where `elad status` finds it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PLAN_FILE).write_text(json.dumps(told(plan), indent=1), encoding="utf-8")


def _terms(experiment: Experiment) -> Terms:
    """Of the channel that is named; `auto` may find no batches, so it counts as live calls, which cost no less."""
    teacher, rounds = experiment.teacher, experiment.rounds.count
    price: Price | None = getattr(teacher, "price", None)
    batch = getattr(teacher, "channel", "live") == "batch"
    return Terms(price=price, concurrency=getattr(teacher, "concurrency", 1), rounds=rounds, batch=batch)


def _student(experiment: Experiment) -> Student | None:
    try:
        return open_student(experiment)
    except (StudentError, ImportError):
        return None


def _fits(budget: Budget, cost: Forecast) -> bool:
    """Whether the upper end of the forecast is within every cap."""
    pairs = (
        (budget.money, cost.money.p90),
        (budget.calls, cost.calls.p90),
        (budget.tokens, cost.tokens_in.p90 + cost.tokens_out.p90),
        (budget.tokens_in, cost.tokens_in.p90),
        (budget.tokens_out, cost.tokens_out.p90),
    )
    return all(cap is None or amount <= cap for cap, amount in pairs)


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `limit` that fits, by halving."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
