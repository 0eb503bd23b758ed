"""The questions of a run, read again from the files that it was begun with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elad.errors import EladError
from elad.records import Problem, digest_list, from_json, to_json
from elad.tasks.reading import read

POOL, HELDOUT = "pool", "heldout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Pool and held-out questions; empty where they cannot be had any more, and `remarks` say why."""

    pool: Sequence[Problem]
    heldout: Sequence[Problem]
    remarks: tuple[str, ...]
    """Without any path of the machine."""

    def of(self, part: str) -> Sequence[Problem]:
        """The questions of one part."""
        return self.pool if part == POOL else self.heldout


def read_sources(session: Mapping[str, Any], identity: Mapping[str, Any]) -> Sources:
    """The questions that a session was begun with; those that have changed since are left out.

    Nothing is fetched: of data sets by name, there is what the ledger holds of them.
    """
    data, base = session["experiment"]["data"], Path(session["base"])
    found: dict[str, Sequence[Problem]] = {}
    remarks: list[str] = []
    for part in (POOL, HELDOUT):
        try:
            problems = _read(data, part, base)
        except (EladError, OSError):
            problems = None
        if problems is None or digest_list(map(to_json, problems)) != identity.get(f"data.{part}"):
            how = "are not at hand" if problems is None else "have changed since"
            remarks.append(f"The {part} questions {how}: only those that were bought are shown with their text.")
            problems = ()
        found[part] = problems
    return Sources(pool=found[POOL], heldout=found[HELDOUT], remarks=tuple(remarks))


def _read(data: Mapping[str, Any], part: str, base: Path) -> Sequence[Problem] | None:
    """The problems of a part; None where they were given in Python, or are a data set by name."""
    given, limit = data[part], data["limit"][part]
    problems = [from_json(Problem, item) for item in given if not isinstance(item, str)]
    files = [item for item in given if isinstance(item, str)]
    if any(item.startswith("datasets:") for item in files) or not given:
        return None
    if not files:
        return problems[:limit]
    found = read(files, columns=data["columns"], limit=limit, base=base)
    return [*problems, *found][:limit] if problems else found
