"""The plan of an experiment: what its rounds will take from the teacher, and what the budget buys of that."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from elad.errors import ConfigError, StudentError
from elad.experiment import Experiment
from elad.ledger.budget import Budget
from elad.ledger.events import FILE, PLAN_FILE, Kind, Ledger
from elad.ledger.prices import Price
from elad.plan.forecast import Counted, Evidence, Forecast, Terms, forecast
from elad.plan.rehearsal import rehearse, seen
from elad.protocols import Student
from elad.questions import read_data
from elad.records import Charge, to_json
from elad.teachers.counting import TokenCounter
from elad.world import open_student, refuse_unpriced

SAMPLE = 24
"""Questions of the pool that are rehearsed."""
_NOTHING = Charge()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A forecast, and what it rests on."""

    wanted: Forecast
    """All questions that the rounds and the pool allow to each arm, without those that are bought. What two arms ask
    alike is paid once, and counted for both."""
    bought: int
    """Questions that the run folder holds already."""
    buys: int
    """How many of them the caps will bear in all likelihood: the forecast's upper end fits."""
    fits: bool
    priced: bool
    currency: str | None
    cacheable: float
    """Share of the prompts that an endpoint with a prefix cache sees again and again, 0..1."""
    cacheable_long: float
    """The same at an endpoint that caches nothing below `LEAST_CACHED_TOKENS`."""
    rehearsed: int
    drafted: int
    """How many of the rehearsed chains the student itself wrote."""
    seen: int
    """Revisions of earlier runs with the same teacher and reviser."""
    counted: str
    """What tokens were counted by: the tokenizer of `teacher` or `student`, or `bytes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """What a run that is to go on has behind it."""

    spent: Charge = _NOTHING
    seconds: float = 0.0
    picked: int = 0
    bought: int = 0
    """Of the picked questions, those whose revision is finished."""


def plan(
    experiment: Experiment, earlier: Sequence[Path] = (), *, drafts: bool = True, folder: Path | None = None
) -> Plan:
    """What the experiment will cost. Nothing is asked of the teacher.

    With `drafts` the student writes the rehearsed chains, where it can be loaded. What a run in `folder` has spent and
    bought is taken off, and learnt from. Raises: the errors of reading data and configuration; RefusedError for a cap
    on money and no price, as a run does.
    """
    refuse_unpriced(experiment, priced=getattr(experiment.teacher, "priced", True))
    pool = read_data(experiment)[0]
    sample = Random(experiment.seed).sample(pool, min(SAMPLE, len(pool)))
    counter, counted = _counter(experiment)
    rehearsal = rehearse(experiment, sample, _student(experiment) if drafts else None, counter)
    resumed = folder if folder and (folder / FILE).exists() else None
    learnt = seen([*earlier, resumed] if resumed else earlier, experiment)
    evidence = Evidence(good=rehearsal.good, clumsy=rehearsal.clumsy, seen=learnt, counted=counted)
    terms = _terms(experiment)

    def cost(questions: int) -> Forecast:
        return forecast(evidence, questions, terms, experiment.seed)

    wanted, bought, buys, waiting = 0, 0, 0, 0.0
    for arm, its in experiment.arms().items():
        begun = _begun(resumed, arm) if resumed else _Begun()
        begun = replace(begun, seconds=begun.seconds + waiting)
        wants, most = _wants(its, begun, len(pool))
        bears = _bears(its.budget, begun, most, cost)
        wanted, bought, buys = wanted + wants, bought + begun.bought, buys + bears
        waiting += cost(bears).seconds.p90
    return Plan(
        wanted=cost(wanted),
        bought=bought,
        buys=buys,
        fits=buys == wanted,
        priced=terms.price is not None,
        currency=terms.price.currency if terms.price else None,
        cacheable=rehearsal.shared.all,
        cacheable_long=rehearsal.shared.long,
        rehearsed=len(sample),
        drafted=rehearsal.drafted,
        seen=len(evidence.seen),
        counted=counted.name.lower(),
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
    """Of the channel that is named; with `auto` the endpoint may have batches or not, where they cost less."""
    teacher, rounds = experiment.teacher, experiment.rounds.count
    price: Price | None = getattr(teacher, "price", None)
    channel = getattr(teacher, "channel", "live")
    either = channel == "auto" and price is not None and bool(price.batch_discount)
    batch = None if either else channel == "batch"
    return Terms(price=price, concurrency=getattr(teacher, "concurrency", 0), rounds=rounds, batch=batch)


def _counter(experiment: Experiment) -> tuple[TokenCounter | None, Counted]:
    """The tokenizer that is nearest to the teacher's. Raises: ConfigError where `teacher.tokenizer` cannot be used."""
    own: str | None = getattr(experiment.teacher, "tokenizer", None)
    if own:
        return TokenCounter(own), Counted.TEACHER
    student = experiment.resolved()["student"].get("model")
    try:
        return (TokenCounter(student), Counted.STUDENT) if student else (None, Counted.BYTES)
    except ConfigError:  # it is not here yet, or has no chat template
        return None, Counted.BYTES


def _wants(experiment: Experiment, begun: _Begun, pool: int) -> tuple[int, int]:
    """How many questions an arm has still to buy by its rounds and the pool, and by the cap on questions too."""
    whole = min(pool, experiment.rounds.count * experiment.rounds.questions)
    wanted, half = max(0, whole - begun.bought), begun.picked - begun.bought
    return wanted, min(wanted, half + experiment.budget.questions_left(begun.picked, max(0, whole - begun.picked)))


def _begun(folder: Path, arm: str) -> _Begun:
    with Ledger(folder, write=False) as whole:
        ledger = whole.of(arm)
        return _Begun(
            spent=ledger.spent(),
            seconds=ledger.elapsed_seconds(),
            picked=sum(1 for _ in ledger.events(Kind.PICK)),
            bought=sum(1 for _ in ledger.events(Kind.REVISION)),
        )


def _student(experiment: Experiment) -> Student | None:
    try:
        return open_student(experiment)
    except (StudentError, ImportError):
        return None


def _bears(budget: Budget, begun: _Begun, limit: int, cost: Callable[[int], Forecast]) -> int:
    """How many questions, up to `limit`, the caps bear: the largest number that fits, by halving."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fits(budget, begun, cost(middle)) else (low, middle - 1)
    return low


def _fits(budget: Budget, begun: _Begun, cost: Forecast) -> bool:
    """Whether the upper end of the forecast, on top of what is spent, is within every cap.

    Of time, that is waiting for the teacher: how long the student takes is not known.
    """
    spent = begun.spent
    pairs = (
        (budget.money, spent.money + cost.money.p90),
        (budget.calls, spent.calls + cost.calls.p90),
        (budget.tokens, spent.tokens_in + spent.tokens_out + cost.tokens_in.p90 + cost.tokens_out.p90),
        (budget.tokens_in, spent.tokens_in + cost.tokens_in.p90),
        (budget.tokens_out, spent.tokens_out + cost.tokens_out.p90),
        (budget.seconds, begun.seconds + cost.seconds.p90),
    )
    return all(cap is None or amount <= cap for cap, amount in pairs)
