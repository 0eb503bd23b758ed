"""What was bought, as rows that other tools take: the column names are TRL's."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from elad.errors import InputError, RunFolderError, nearest
from elad.kinds import build
from elad.ledger.events import MAIN, Event, Kind, Ledger
from elad.ledger.people import Review, reviewed, standing
from elad.outcomes import RevisionOutcome, Verdict
from elad.protocols import Task
from elad.records import Problem, Revision, from_json, to_json
from elad.steps import split


def export(folder: Path, to: str, target: Path) -> int:
    """Writes the rows of a run as JSON Lines; gives how many. The file appears whole or not at all.

    A revision that a reviewer rejected gives no row, one that was edited gives its row as edited.

    Raises: InputError for an unknown format, RunFolderError without a ledger or with other data.
    """
    if to not in FORMATS:
        raise InputError(f"--to {to}: unknown format; {nearest(to, FORMATS)}")
    rows = list(_rows(folder, FORMATS[to]))
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        os.replace(scratch, target)
    except OSError as error:
        Path(scratch).unlink(missing_ok=True)
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    return len(rows)


Shape = Callable[[Revision, Problem, Task], dict[str, Any] | None]


def messages(revision: Revision, problem: Problem, task: Task) -> dict[str, Any] | None:
    """A conversation that ends with the revised chain."""
    if not revision.outcome.trainable:
        return None
    turns = [to_json(message) for message in task.messages(problem)]
    return {"messages": [*turns, {"role": "assistant", "content": revision.after}]}


def preference(revision: Revision, problem: Problem, task: Task) -> dict[str, Any] | None:
    """The student's wrong step against the repaired one, after the prefix that they share."""
    if revision.outcome is not RevisionOutcome.REPAIRED or revision.first_error is None or not revision.edit:
        return None
    steps = split(revision.before, most=max(1, len(revision.verdicts)))
    accepted = "".join(step.text for step in steps[: revision.first_error])
    wrong = steps[revision.first_error].text if revision.first_error < len(steps) else ""
    prompt = [to_json(message) for message in task.messages(problem)]
    if accepted:
        prompt.append({"role": "assistant", "content": accepted})
    return {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": revision.edit}],
        "rejected": [{"role": "assistant", "content": wrong.strip()}],
    }


def stepwise(revision: Revision, problem: Problem, task: Task) -> dict[str, Any] | None:
    """The judged steps with a label each, up to the first wrong one."""
    judged = [verdict for verdict in revision.verdicts if verdict is not Verdict.UNJUDGED]
    if not judged:
        return None
    texts = [step.text.strip() for step in split(revision.before, most=len(revision.verdicts))]
    return {
        "prompt": task.question(problem),
        "completions": texts[: len(judged)],
        "labels": [verdict is Verdict.RIGHT for verdict in judged],
    }


FORMATS: dict[str, Shape] = {"messages": messages, "preference": preference, "stepwise": stepwise}


def _rows(folder: Path, shape: Shape) -> Iterator[dict[str, Any]]:
    with Ledger(folder, write=False) as ledger:
        session = next(ledger.events(Kind.SESSION), None)
        if session is None:
            raise RunFolderError(f"{folder}: holds no session")
        task = build("elad.tasks", session.payload["experiment"]["task"], "task")
        picks = [event.payload["problem"] for event in ledger.events(Kind.PICK)]
        problems = {problem["id"]: from_json(Problem, problem) for problem in picks}
        place = {problem["id"]: i for i, problem in enumerate(picks)}
        reviews = standing(ledger)
        # the teacher's replies came in any order; the rows do not depend on it
        unique = {event.key: event for event in reversed(list(ledger.events(Kind.REVISION)))}  # two arms may share one
        for event in sorted(unique.values(), key=lambda event: (place[event.payload["problem_id"]], event.seq)):
            review = reviews.get(event.key)
            revision = reviewed(from_json(Revision, event.payload), review)
            row = shape(revision, problems[revision.problem_id], task) if revision else None
            if revision and row is not None:
                yield row | {"provenance": _provenance(event, revision) | _reviewer(review)}


def _reviewer(review: Review | None) -> dict[str, Any]:
    return {"reviewer": review.reviewer, "decision": review.decision} if review else {}


def _provenance(event: Event, revision: Revision) -> dict[str, Any]:
    return {
        "problem_id": revision.problem_id,
        "round": event.round,
        "outcome": revision.outcome,
        "first_error": revision.first_error,
        "reviser": revision.reviser,
        "requests": list(revision.requests),
        "prompt_versions": list(revision.prompt_versions),
        "charge": to_json(revision.charge),
    } | ({} if event.arm == MAIN else {"arm": event.arm})
