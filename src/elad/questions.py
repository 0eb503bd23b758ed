"""The questions of an experiment: pool, held-out and warm-up, read and checked against one another."""

from collections.abc import Sequence
from pathlib import Path

from elad.errors import DataError
from elad.experiment import Data, Experiment
from elad.records import Problem
from elad.tasks.reading import read, refuse_overlap, refuse_taken_ids, refuse_unreadable


def read_data(experiment: Experiment) -> tuple[Sequence[Problem], Sequence[Problem], Sequence[Problem]]:
    """Pool, held-out and warm-up questions; those of files are not held but read when they are looked at.

    Raises: DataError where they cannot be used together.
    """
    data = experiment.data
    pool = _problems(data, data.pool, data.limit.pool, experiment.base)
    heldout = read_heldout(data, experiment.base)
    warmup = _problems(data, data.warmup, None, experiment.base)
    refuse_overlap(pool, heldout)
    refuse_overlap(warmup, heldout)
    for problem in heldout:
        if problem.answer is None:
            raise DataError(f"held-out question {problem.id!r} has no answer to be graded by")
    for problem in warmup:
        if problem.rationale is None or problem.answer is None:
            raise DataError(f"warm-up question {problem.id!r} needs a rationale and an answer")
    for name, problems in (("pool", pool), ("heldout", heldout), ("warmup", warmup)):
        files = [source for source in getattr(data, name) if isinstance(source, str)]
        refuse_unreadable(problems, experiment.task, f"data.{name}: {', '.join(files)}" if files else f"data.{name}")
    return pool, heldout, warmup


def read_heldout(data: Data, base: Path) -> Sequence[Problem]:
    """The held-out questions alone, unchecked. Raises: DataError where they cannot be read."""
    return _problems(data, data.heldout, data.limit.heldout, base)


def _problems(data: Data, given: Sequence[str | Problem], limit: int | None, base: Path) -> Sequence[Problem]:
    problems = [item for item in given if isinstance(item, Problem)]
    sources = [item for item in given if isinstance(item, str)]
    if sources:
        found = read(sources, columns=data.columns, limit=limit, base=base)
        if not problems:
            return found
        problems += found
    refuse_taken_ids(problems)
    return problems[:limit]
