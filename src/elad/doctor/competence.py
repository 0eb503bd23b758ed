"""How well a teacher judges and repairs, measured on packaged chains whose first wrong step is known."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Final

from elad.doctor.advice import Advice, Figures, Share, advise
from elad.doctor.teacher import live
from elad.errors import RefusedError
from elad.evaluation.intervals import wilson
from elad.evaluation.step_finding import revise_all
from elad.evaluation.step_labels import Labelled, read_labelled
from elad.experiment import Experiment
from elad.kinds import build
from elad.ledger.budget import Budget
from elad.ledger.cache import cache_folder
from elad.ledger.events import Kind, Ledger
from elad.ledger.prices import Price
from elad.outcomes import RevisionOutcome
from elad.progress import Progress
from elad.protocols import Consult, Task, Teacher, Told
from elad.questions import read_data
from elad.records import Candidate, Charge, Problem, Reply, Request, Revision, digest, from_json
from elad.revision.driving import drive
from elad.revision.first_error import FirstError
from elad.sample import folder as sample_folder
from elad.teachers.fake import Fake, Fault

JUDGES: Final = ("direct", "compare", "rollout", "stepwise")
REPAIRS: Final = ("blind", "shown")
_COUNTED = ("calls", "tokens_in", "tokens_out", "money")
_CLUMSY = {Fault.WRONG_END: 0.4, Fault.GARBAGE: 0.2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Competence:
    """What a teacher did with wrong chains and with right ones, in each way of asking."""

    teacher: str
    wrong: int
    """Chains with a wrong step."""
    right: int
    uses_gold: bool
    """Whether the reviser was given the gold answers, as it is in a run where every question of the pool has one."""
    modes: tuple[Figures, ...]
    left_out: tuple[str, ...]
    """Judges that this teacher cannot serve."""
    advice: Advice
    spent: Charge
    """By this measurement: what an earlier one bought was reused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What measuring will take, between a teacher that does well in few words and one that does not in many."""

    low: Charge
    high: Charge


def measure(experiment: Experiment, progress: Progress) -> Competence:
    """Judges and repairs the packaged chains in every mode that the teacher serves; the price is told first.

    Replies are kept, so that a measurement that was stopped goes on, and one that was paid for costs nothing when it
    is made again. Raises: RefusedError where it may take more than a cap of the experiment allows; TeacherError when
    the teacher is lost on the way; DataError where the pool cannot be read.
    """
    task: Task = build("elad.tasks", "numeric", "task")
    rows, _ = read_labelled([str(sample_folder() / "steps.jsonl")], task, references={}, limit=None, seed=0)
    gold = all(problem.answer is not None for problem in read_data(experiment)[0])
    shown = [_shown(row, gold=gold) for row in rows]
    budget = replace(experiment.budget, questions=None, seconds=None)
    teacher = live(experiment.teacher).open()
    try:
        modes = [mode for mode in _modes(experiment) if mode.needs <= teacher.serves]
        price: Price | None = getattr(experiment.teacher, "price", None)
        cost = expected(rows, shown, modes, task, price)
        progress.note(_announced(cost, len(modes)))
        _refuse_above(budget, cost.high)
        kept = cache_folder() / "doctor" / digest([teacher.id, getattr(experiment.teacher, "base_url", "")])
        with Ledger(kept, write=True) as ledger:
            known = _charges(ledger)
            if known:
                progress.note(f"answers of an earlier measurement are reused; without {kept} they are asked anew")
            found = {mode: _revised(mode, shown, teacher, task, ledger, progress, budget) for mode in modes}
            spent = reduce(add, (charge for key, charge in _charges(ledger).items() if key not in known), Charge())
    finally:
        teacher.close()
    if price is None and teacher.scope is None:  # free, and its name says little about the model behind it
        shutil.rmtree(kept, ignore_errors=True)
    figures = tuple(_figures(mode, rows, revisions, task) for mode, revisions in found.items())
    wrong = sum(row.first_error is not None for row in rows)
    return Competence(
        teacher=teacher.id,
        wrong=wrong,
        right=len(rows) - wrong,
        uses_gold=gold,
        modes=figures,
        left_out=tuple(judge for judge in JUDGES if judge not in {mode.judge for mode in modes}),
        advice=advise(figures),
        spent=spent,
    )


def _refuse_above(budget: Budget, most: Charge) -> None:
    cap = budget.refusal(Charge(), Charge(), most, 0.0)
    if cap:
        raise RefusedError(f"measuring competence may take more than the budget allows ({cap}): raise the cap for it")


def _charges(ledger: Ledger) -> dict[tuple[Kind, str], Charge]:
    """What the ledger counts, by event."""
    kinds = (Kind.REPLY, Kind.LOST)
    return {(kind, one.key): from_json(Reply, one.payload).charge for kind in kinds for one in ledger.events(kind)}


def expected(
    rows: Sequence[Labelled], shown: Sequence[Candidate], modes: Sequence[FirstError], task: Task, price: Price | None
) -> Expected:
    """Rehearses every mode with the scripted teacher, good and clumsy; what two modes ask alike is counted once."""
    known = {row.candidate.problem.id: row.candidate.problem for row in rows}
    good, clumsy = (_rehearsed(known, shown, modes, task, teacher) for teacher in (Fake(), Fake(faults=_CLUMSY)))
    wordy = [(request, replace(charge, tokens_out=request.sampling.max_tokens)) for request, charge in clumsy]
    low, high = _sum(good, price), _sum(wordy, price)
    pairs = {name: sorted((getattr(low, name), getattr(high, name))) for name in _COUNTED}
    return Expected(
        low=replace(low, **{name: pair[0] for name, pair in pairs.items()}),
        high=replace(high, **{name: pair[1] for name, pair in pairs.items()}),
    )


def _modes(experiment: Experiment) -> list[FirstError]:
    """The ways of asking, otherwise as the experiment's own reviser asks."""
    own = experiment.reviser if isinstance(experiment.reviser, FirstError) else FirstError()
    own = replace(own, continue_="teacher")
    return [replace(own, judge=judge, repair=repair) for judge in JUDGES for repair in REPAIRS]


def _revised(  # noqa: PLR0913
    mode: FirstError,
    shown: Sequence[Candidate],
    teacher: Teacher,
    task: Task,
    ledger: Ledger,
    progress: Progress,
    budget: Budget,
) -> list[Revision]:
    with progress.stage(0, f"{mode.judge} {mode.repair}", len(shown)) as advance:
        return revise_all(mode, shown, teacher, task, ledger, advance, budget)


def _shown(row: Labelled, *, gold: bool) -> Candidate:
    """The chain as the reviser may see it."""
    problem = row.candidate.problem
    return row.candidate if gold else replace(row.candidate, problem=replace(problem, answer=None, rationale=None))


def _rehearsed(
    problems: Mapping[str, Problem], shown: Sequence[Candidate], modes: Sequence[FirstError], task: Task, teacher: Fake
) -> list[tuple[Request, Charge]]:
    """Every request that the modes make, once, and what its reply takes, without money."""
    opened = teacher.open()
    known: dict[str, tuple[Request, Reply]] = {}

    def pay(requests: Iterator[Request | None], tell: Callable[[Request, Told], None]) -> None:
        for request in requests:
            if request is None:
                return
            if request.key not in known:
                # the scripted teacher goes by the gold answer, also where a real one does not see it
                (reply,) = opened.ask([replace(request, problem=problems[request.problem.id])])
                known[request.key] = request, reply
            tell(request, known[request.key][1])

    works = enumerate(mode(one, task) for mode in modes for one in shown)
    drive(works, pay, _nobody, _unheard)
    return [(request, reply.charge) for request, reply in known.values()]


def _nobody(asks: list[Consult]) -> list[Told]:
    raise AssertionError(f"{len(asks)} prompts for a student, and the teacher goes on by itself")


def _unheard(place: int, revision: Revision) -> None:
    """What a rehearsed revision comes to does not matter."""


def _sum(asked: Sequence[tuple[Request, Charge]], price: Price | None) -> Charge:
    total = reduce(add, (charge for _, charge in asked), Charge())
    if price is None:
        return total
    money = sum(price.money(tokens_in=charge.tokens_in, tokens_out=charge.tokens_out) for _, charge in asked)
    return replace(total, money=money, currency=price.currency)


def _announced(cost: Expected, modes: int) -> str:
    low, high = cost.low, cost.high
    money = f", {low.money:.4f} to {high.money:.4f} {low.currency}" if low.currency else ""
    return (
        f"measuring {modes} modes takes {low.calls} to {high.calls} calls, "
        f"{low.tokens_in} to {high.tokens_in} tokens in and {low.tokens_out} to {high.tokens_out} out{money}"
    )


def _figures(mode: FirstError, rows: Sequence[Labelled], found: Sequence[Revision], task: Task) -> Figures:
    pairs = list(zip(rows, found, strict=True))
    wrong = [(row, revision) for row, revision in pairs if row.first_error is not None]
    right = [revision for row, revision in pairs if row.first_error is None]
    spent = reduce(add, (revision.charge for revision in found), Charge())
    outcomes: dict[str, int] = {}
    for revision in found:
        outcomes[revision.outcome.value] = outcomes.get(revision.outcome.value, 0) + 1
    return Figures(
        judge=mode.judge,
        repair=mode.repair,
        found=_share([revision.first_error == row.first_error for row, revision in wrong]),
        accepted=_share([revision.outcome is RevisionOutcome.ACCEPTED for revision in right]),
        repaired=_share([_repaired(row, revision, task) for row, revision in wrong]),
        copied=_share([revision.outcome is RevisionOutcome.COPIED for _, revision in wrong]),
        calls=spent.calls,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        outcomes=outcomes,
    )


def _repaired(row: Labelled, revision: Revision, task: Task) -> bool:
    """Whether the chain was repaired and now ends right, by the task and the gold answer."""
    problem = row.candidate.problem
    ends_right = task.same(revision.answer, problem.answer, problem)
    return revision.outcome is RevisionOutcome.REPAIRED and ends_right


def _share(hits: Sequence[bool]) -> Share:
    low, high = wilson(sum(hits), len(hits))
    return Share(count=sum(hits), n=len(hits), low=low, high=high)
