"""Chains with the first wrong step marked by people.

Rows are JSON objects: `id`, `question`, `steps` (texts), `first_error` (index from 0, -1 when every
step is right), and where known `answer` and `reference_solution`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from elad.errors import DataError
from elad.protocols import Task
from elad.records import Candidate, Chain, Problem, Sampling, Step, digest
from elad.steps import is_conclusion
from elad.tasks.sources import rows as rows_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A chain with the index of its first wrong step; None when every step is right."""

    candidate: Candidate
    first_error: int | None


def read_labelled(
    sources: Sequence[str], task: Task, *, references: Mapping[str, Problem], limit: int | None, seed: int
) -> tuple[list[Labelled], int]:
    """The rows that have a gold answer, and how many were left out for want of one.

    `references` gives answer and solution by question where a row has none. With a limit, a sample
    is drawn by the seed, balanced between wrong and right chains as far as there are both.
    Raises: DataError naming the file and what is missing.
    """
    rows: list[Labelled] = []
    left_out = 0
    for source in sources:
        for where, row in rows_of(source, Path()):
            problem = _problem(row, where, references)
            if problem.answer is None:
                left_out += 1
            else:
                rows.append(Labelled(candidate=_candidate(row, problem, task), first_error=_label(row)))
    return (rows if limit is None else _sample(rows, limit, seed)), left_out


def _problem(row: dict[str, Any], where: str, references: Mapping[str, Problem]) -> Problem:
    for key, kind in (("id", str), ("question", str), ("steps", list), ("first_error", int)):
        if not isinstance(row.get(key), kind):
            raise DataError(f"{where}: {key!r} must be a {kind.__name__}, found {row.get(key)!r:.80}")
    for key in ("answer", "reference_solution"):
        if not isinstance(row.get(key), str | None):
            raise DataError(f"{where}: {key!r} must be a text, found {row[key]!r:.80}")
    known = references.get(row["question"].strip())
    answer = row.get("answer") or (known.answer if known else None)
    rationale = row.get("reference_solution") or (known.rationale if known else None)
    # What a judge is given belongs to what its reply is kept under: a row with a reference is another problem.
    name = f"{row['id']}-{digest([answer, rationale])[:8]}"
    return Problem(id=name, question=row["question"], answer=answer, rationale=rationale)


def _candidate(row: dict[str, Any], problem: Problem, task: Task) -> Candidate:
    """The chain whose steps are the row's own, whatever our splitter would make of the text."""
    steps: list[Step] = []
    at = 0
    texts = [str(step) for step in row["steps"]]
    for i, text in enumerate(texts):
        whole = text if i == len(texts) - 1 else text + "\n"
        steps.append(Step(text=whole, start=at, end=at + len(whole)))
        at += len(whole)
    last = texts[-1].strip() if texts else ""
    said = last if is_conclusion(last) or not last else f"{task.cue} {last}"
    parsed = task.parse(said, problem)
    chain = Chain(
        problem_id=problem.id,
        text="".join(step.text for step in steps),
        steps=tuple(steps),
        answer=parsed.answer,
        outcome=parsed.outcome,
        sampling=Sampling(),
        seed=0,
        tokens=0,
    )
    return Candidate(problem=problem, chain=chain, scores=None)


def _label(row: dict[str, Any]) -> int | None:
    return None if row["first_error"] < 0 else row["first_error"]


def _sample(rows: Sequence[Labelled], limit: int, seed: int) -> list[Labelled]:
    rng = Random(seed)
    groups = [[r for r in rows if r.first_error is None], [r for r in rows if r.first_error is not None]]
    smaller, larger = sorted((rng.sample(group, len(group)) for group in groups), key=len)
    few = smaller[: limit // 2]
    return few + larger[: limit - len(few)]
