"""What was bought, as rows that other tools take, each with where it comes from. The column names are TRL's."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from elad.kinds import build
from elad.ledger.events import Kind, Ledger
from elad.ledger.people import Review, reviewed, standing
from elad.ledger.sessions import last_session, teacher_of
from elad.outcomes import RevisionOutcome, Verdict
from elad.protocols import Task
from elad.records import Problem, Revision, Step, from_json, to_json
from elad.steps import split

Row: TypeAlias = dict[str, Any]
Shape: TypeAlias = Callable[[Revision, Problem, Task], Row | None]


def messages(revision: Revision, problem: Problem, task: Task) -> Row | None:
    """A conversation that ends with the revised chain; None where there is none to learn from."""
    return {"messages": _conversation(revision, problem, task)} if revision.outcome.trainable else None


def preference(revision: Revision, problem: Problem, task: Task) -> Row | None:
    """The repaired chain before the student's own, which part at its first wrong step; None where no step was wrong.

    `prompt` is the question as the student is asked it, and nothing more. Both answers begin with the steps that the
    teacher accepted, alike to the last character; then `chosen` has the repaired step and what follows from it,
    `rejected` the wrong one and what the student made of it. They are whole because TRL ends the turn after each:
    an answer of single steps would teach to stop after them. `accepted`, `repaired_step` and `wrong_step` are those
    texts alone, for a trainer that ends no turn (Step-DPO, Lai et al. 2024, arXiv 2406.18629).
    """
    if revision.outcome is not RevisionOutcome.REPAIRED or revision.first_error is None or not revision.edit:
        return None
    judged = _judged(revision)
    if revision.first_error >= len(judged) or revision.after is None:  # the student has written nothing
        return None
    wrong = judged[revision.first_error]
    return {
        "prompt": [to_json(message) for message in task.messages(problem)],
        "chosen": [_answer(revision.after)],
        "rejected": [_answer(revision.before.rstrip())],
        "accepted": revision.before[: wrong.start],
        "repaired_step": revision.edit,
        "wrong_step": wrong.text.strip(),
    }


def stepwise(revision: Revision, problem: Problem, task: Task) -> Row | None:
    """The judged steps of the student's chain with a label each, up to the first wrong one.

    None where nothing was judged, and where the teacher's verdict led to nothing that may be trained on: the guards
    of a revision say as much of the verdicts as of the repair.
    """
    verdicts = [verdict for verdict in revision.verdicts if verdict is not Verdict.UNJUDGED]
    if not verdicts or not revision.outcome.trainable:
        return None
    return {
        "prompt": task.question(problem),
        "completions": [step.text.strip() for step in _judged(revision)[: len(verdicts)]],
        "labels": [verdict is Verdict.RIGHT for verdict in verdicts],
    }


def whole(revision: Revision, problem: Problem, task: Task) -> Row:
    """All that is known of a revision, whatever became of it."""
    return {
        "question": task.question(problem),
        "gold": problem.answer,
        "before": revision.before,
        "steps": [step.text.strip() for step in _judged(revision)],
        "verdicts": [verdict.value for verdict in revision.verdicts],
        "edit": revision.edit,
        "after": revision.after,
        "answer": revision.answer,
        "reason": revision.reason,
        "messages": _conversation(revision, problem, task) if revision.outcome.trainable else None,
    }


SHAPES: dict[str, Shape] = {"messages": messages, "preference": preference, "stepwise": stepwise}
"""The rows that a trainer takes."""


def rows(folder: Path, shape: Shape) -> Iterator[Row]:
    """The rows of a run, in the order of its picks, whatever order the replies came in.

    One is held at a time. Two arms that share a revision have one row. One that a reviewer rejected has none, one that
    was edited is as edited. Raises: RunFolderError without a ledger, or
    where no session was begun.
    """
    with Ledger(folder, write=False) as ledger:
        task = build("elad.tasks", last_session(ledger)["experiment"]["task"], "task")
        run, teacher, reviews = ledger.meta("name"), teacher_of(ledger), standing(ledger)
        for bought in _bought(ledger):
            review = reviews.get(bought.key)
            revision = reviewed(from_json(Revision, ledger.get(Kind.REVISION, bought.key)), review)
            pick = ledger.of(bought.arm).get(Kind.PICK, bought.pick)
            assert pick is not None
            row = shape(revision, from_json(Problem, pick["problem"]), task) if revision else None
            if revision and row is not None:
                score = pick["aggregate"]
                told = {"run": run, "round": bought.round, "arm": bought.arm, "teacher": teacher, "score": score}
                yield row | {"provenance": told | _provenance(revision) | _reviewer(review)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bought:
    """Where a revision and its pick are in the ledger."""

    key: str
    pick: str
    arm: str
    round: int


def _bought(ledger: Ledger) -> list[_Bought]:
    """The revisions of all arms in the order of their picks."""
    picks = {
        (event.arm, event.payload["problem_id"]): (place, event.key)
        for place, event in enumerate(ledger.events(Kind.PICK))
    }
    found: dict[str, tuple[int, _Bought]] = {}
    for event in ledger.events(Kind.REVISION):
        place, pick = picks[event.arm, event.payload["problem_id"]]
        made = _Bought(key=event.key, pick=pick, arm=event.arm, round=event.round)
        found.setdefault(event.key, (place, made))
    return [made for _, made in sorted(found.values(), key=lambda one: one[0])]


def _provenance(revision: Revision) -> Row:
    return {
        "problem_id": revision.problem_id,
        "outcome": revision.outcome.value,
        "first_error": revision.first_error,
        "reviser": revision.reviser,
        "requests": list(revision.requests),
        "prompt_versions": list(revision.prompt_versions),
        "charge": to_json(revision.charge),
    }


def _reviewer(review: Review | None) -> Row:
    """Who has reviewed it, and how; both None where nobody has."""
    return {"reviewer": review and review.reviewer, "decision": review and review.decision.value}


def _judged(revision: Revision) -> tuple[Step, ...]:
    """The steps of the student's chain, as many as there are verdicts."""
    return split(revision.before, most=max(1, len(revision.verdicts)))


def _conversation(revision: Revision, problem: Problem, task: Task) -> list[Row]:
    return [*(to_json(message) for message in task.messages(problem)), _answer(revision.after or "")]


def _answer(text: str) -> Row:
    return {"role": "assistant", "content": text}
