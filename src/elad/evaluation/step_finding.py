"""How well a judge finds the first wrong step, against step labels that people made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from elad.errors import RefusedError
from elad.evaluation.intervals import wilson
from elad.evaluation.step_labels import Labelled, read_labelled
from elad.kinds import build
from elad.ledger.account import Account
from elad.ledger.budget import Budget
from elad.ledger.events import Ledger
from elad.ledger.trail import settle_earlier
from elad.outcomes import Purpose, RevisionOutcome
from elad.progress import Advance, Progress
from elad.protocols import Consult, Revising, Task, Teacher, Told
from elad.purchase import Purchase
from elad.records import Candidate, Problem, Revision
from elad.revision.case import Asking, Case, Draft
from elad.revision.driving import drive
from elad.revision.judges import Judge
from elad.tasks.reading import read


def find_steps(  # noqa: PLR0913
    sources: Sequence[str],
    teacher: Any,
    judge: str,
    references: Sequence[str],
    *,
    limit: int | None,
    seed: int,
    folder: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Reads, judges and measures; the figures of `measured` with who judged what.

    `uses_gold` tells whether judge or teacher was given the gold answer: such figures do not compare
    with those of a judge that has to do without.

    `teacher` is what a configuration says of one. A stopped run goes on from the replies in `folder`; without
    a folder nothing is kept, so that a free teacher answers by its rules of today.
    """
    task = build("elad.tasks", "numeric", "task")
    judging: Judge = build("elad.revision.judges", judge, "--judge")
    known: Sequence[Problem] = read(list(references), columns={}, limit=None, base=Path()) if references else []
    by_question = {problem.question.strip(): problem for problem in known}
    rows, left_out = read_labelled(sources, task, references=by_question, limit=limit, seed=seed)
    opened: Teacher = build("elad.teachers", teacher, "--teacher").open()
    try:
        lacking = judging.needs - opened.serves
        if lacking:
            raise RefusedError(f"--judge {judge}: needs a teacher that can {', '.join(sorted(lacking))}")
        with (
            TemporaryDirectory() as scratch,
            Ledger(folder or Path(scratch), write=True) as ledger,
            progress.stage(0, "judge", len(rows)) as advance,
        ):
            found = judge_all(rows, judging, opened, task, ledger, advance)
    finally:
        opened.close()
    asked: dict[str, Any] = {"sources": list(sources), "teacher": opened.id, "judge": judge}
    asked |= {"limit": limit, "seed": seed}
    asked["uses_gold"] = Purpose.ROLLOUT in judging.needs or Purpose.ROLLOUT not in opened.serves
    return asked | measured(rows, found) | {"left_out": left_out}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlyJudge:
    """A reviser that judges and repairs nothing; its revision carries what was found."""

    judge: Judge
    max_tokens: int = 256

    def __call__(self, candidate: Candidate, task: Task) -> Revising:
        case = Case(candidate=candidate, task=task, reviser="judge", max_tokens=self.max_tokens)
        return case.settle(self._look(case))

    def _look(self, case: Case) -> Asking[Revision]:
        case.finding = yield from self.judge(case, Draft(chain=case.candidate.chain))
        found = case.finding.first_error
        return case.revision(RevisionOutcome.ACCEPTED if found is None else RevisionOutcome.REPAIRED)


def judge_all(
    rows: Sequence[Labelled], judge: Judge, teacher: Teacher, task: Task, ledger: Ledger, advance: Advance
) -> list[Revision]:
    """What the judge found in each row, in the rows' order. Replies are kept in the ledger and reused."""
    reviser = OnlyJudge(judge=judge)
    return revise_all(reviser, [row.candidate for row in rows], teacher, task, ledger, advance)


def revise_all(  # noqa: PLR0913 - what a world holds, without one
    reviser: Callable[[Candidate, Task], Revising],
    candidates: Sequence[Candidate],
    teacher: Teacher,
    task: Task,
    ledger: Ledger,
    advance: Advance,
    budget: Budget = Budget(),  # noqa: B008 - it is frozen
) -> list[Revision]:
    """The revision of each candidate, in order, without a student.

    Raises: RefusedError where the budget does not bear them all; what was bought is in the ledger.
    """
    account = Account(budget, spent=ledger.spent(), elapsed=lambda: 0.0, warn=lambda _: None)
    settle_earlier(ledger, account, teacher, 0)
    found: dict[int, Revision] = {}

    def done(place: int, revision: Revision) -> None:
        found[place] = revision
        advance(1)

    works = ((place, reviser(candidate, task)) for place, candidate in enumerate(candidates))
    purchase = Purchase(teacher, ledger, account, number=0)
    drive(works, purchase.pay, _no_student, done)
    if purchase.refusal:
        raise RefusedError(f"{purchase.refusal}; what was bought so far is kept")
    return [found[place] for place in range(len(candidates))]


def _no_student(asks: list[Consult]) -> list[Told]:
    raise RefusedError(f"{len(asks)} times a student is to be asked, and there is none")


def measured(rows: Sequence[Labelled], found: Sequence[Revision]) -> dict[str, Any]:
    """Exact accuracy on wrong chains and on right ones, their harmonic mean, and what went unread.

    A right chain counts when nothing is found in it; a judgement that did not come about counts as
    wrong in both. Intervals are Wilson's at 95 %.
    """
    read = {RevisionOutcome.ACCEPTED, RevisionOutcome.REPAIRED}
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for row, revision in zip(rows, found, strict=True):
        hit = revision.outcome in read and revision.first_error == row.first_error
        hits[row.first_error is None].append(hit)
    wrong, right = _share(hits[False]), _share(hits[True])
    both = [part["accuracy"] for part in (wrong, right)]
    usable = all(value is not None for value in both)
    f1 = (2 * both[0] * both[1] / sum(both) if sum(both) else 0.0) if usable else None
    outcomes: dict[str, int] = {}
    for revision in found:
        outcomes[revision.outcome] = outcomes.get(revision.outcome, 0) + 1
    spent = sum((revision.charge.tokens_out for revision in found), 0)
    calls = sum(revision.charge.calls for revision in found)
    return {
        "wrong": wrong,
        "right": right,
        "f1": f1,
        "outcomes": outcomes,
        "calls": calls,
        "tokens_out": spent,
    }


def _share(hits: Sequence[bool]) -> dict[str, Any]:
    if not hits:
        return {"n": 0, "accuracy": None, "interval": None}
    return {"n": len(hits), "accuracy": sum(hits) / len(hits), "interval": list(wilson(sum(hits), len(hits)))}
