"""Files of questions into problems, in the order of the files. `shapes` says what rows may look like."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from elad.errors import ConfigError, DataError, nearest
from elad.protocols import Task
from elad.records import Problem
from elad.tasks.shapes import FIELDS, Shaped
from elad.tasks.shelf import Shelf
from elad.tasks.sources import rows


def read(source: str | list[str], *, columns: Mapping[str, str], limit: int | None, base: Path) -> Shelf:
    """The problems of one or more sources; at most `limit` in all, and rows after that go unread.

    None of them is held: each is read back from a temporary file when it is looked at.

    `columns` maps a field to its column's name; a field that is not mapped is read from the column
    of its own name where there is one. Columns of no field become metadata, as they are.

    A row without `id` is known by the hash of its content; such rows that are alike in all fields
    are one problem. A question that returns under another id is kept: `validate` reports it.

    Raises: DataError that names file, line and what was expected; ConfigError for an unknown field.
    """
    for field in columns:
        if field not in FIELDS:
            raise ConfigError(f"data.columns.{field}: unknown field; {nearest(field, FIELDS)}")
    sources = [source] if isinstance(source, str) else source
    shelf = Shelf()
    for where, row in chain.from_iterable(rows(one, base) for one in sources):
        problem, named = Shaped(row, columns, where).problem()
        taken = shelf.put(problem, where)
        if taken and named:
            raise DataError(f"{where}: id {problem.id!r} is taken by {taken}; ids must differ")
        if len(shelf) == limit:
            break
    if not shelf:
        raise DataError(f"{', '.join(sources)}: expected at least one row, found none")
    return shelf


def refuse_taken_ids(problems: Sequence[Problem]) -> None:
    """Refuses problems of one id, wherever they come from: all that is kept of a problem is kept by its id.

    Raises: DataError that names the id.
    """
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise DataError(f"id {problem.id!r} is that of two problems; ids must differ")
        seen.add(problem.id)


def refuse_overlap(pool: Sequence[Problem], heldout: Sequence[Problem]) -> None:
    """Refuses held-out questions that are in the pool too: they would be trained on.

    Questions are the same when question, context and options are, but for case, spacing and the
    options' order.

    Raises: DataError that counts the shared questions and names the first.
    """
    asked = {same_question(problem) for problem in heldout}
    bought = {key: problem.id for problem in pool if (key := same_question(problem)) in asked}
    shared = [(bought[key], p.id) for p in heldout if (key := same_question(p)) in bought]
    if shared:
        first, second = shared[0]
        raise DataError(
            f"{len(shared)} held-out question(s) are in the pool too, such as {second!r} (in the pool: {first!r})"
        )


def refuse_unreadable(problems: Sequence[Problem], task: Task, where: str) -> None:
    """Refuses gold answers that the task cannot read from its own conclusion: no chain could ever be right.

    Raises: DataError that opens with `where`, names the first such problem and counts the rest.
    """
    found = [complaint for problem in problems if (complaint := _unreadable(problem, task))]
    if found:
        more = f", and {len(found) - 1} more; `elad validate` lists them" if found[1:] else ""
        raise DataError(f"{where}: {found[0]}{more}")


def _unreadable(problem: Problem, task: Task) -> str | None:
    if problem.answer is None:
        return None
    try:
        read_back = task.parse(task.conclusion(problem, problem.answer), problem).answer
    except ValueError as error:
        return str(error)
    if task.same(read_back, problem.answer, problem):
        return None
    return f"problem {problem.id!r}: the gold answer {problem.answer[:80]!r} cannot be read by this task"


def same_question(problem: Problem) -> tuple[str, ...]:
    """A key that two problems share exactly when they ask the same."""
    options = sorted(_plain(choice) for choice in problem.choices or ())
    return (_plain(problem.question), _plain(problem.context or ""), *options)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
