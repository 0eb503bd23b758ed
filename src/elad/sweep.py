"""Arms x seeds from one file: each cell an ordinary run, and what they can share is done once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elad.errors import ConfigError, RunFolderError, nearest
from elad.experiment import Experiment
from elad.kinds import reasons
from elad.ledger.events import FILE, Kind, Ledger
from elad.loop import run
from elad.mappings import read_mapping
from elad.methods.finding import find
from elad.progress import Progress
from elad.records import Reply, from_json

_TAGS = frozenset({"kind", "engine"})
_OURS = {"seed": "`seeds`", "name": "the arm's name"}


class _File(BaseModel):
    """What the file says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    base: str
    """The experiment that all cells begin with: what `elad run` takes; a file is relative to this one."""
    arms: dict[str, dict[str, Any] | None] = Field(min_length=1)
    """By name, what an arm changes in it."""
    seeds: list[int] = Field(min_length=1)
    out: str
    """The folder of all cells, relative to this file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One arm with one seed."""

    arm: str
    seed: int
    experiment: Experiment
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a cell."""

    cell: Cell
    fresh: bool
    """False where it was finished before, and nothing was done."""
    cached: int = 0
    """Replies that it took from the user's cache: nothing was paid for them, and its caps count what they had cost."""
    error: Exception | None = None


def read_sweep(path: Path, overrides: Sequence[str] = (), out: Path | None = None) -> list[Cell]:
    """The cells that a file asks for, seed by seed; `overrides` hold for all arms, `out` in place of the file's.

    Raises: ConfigError naming the file and the key, also where an arm changes nothing that another does not.
    """
    raw = read_mapping(path)
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explained(error)}") from error
    if len(set(file.seeds)) < len(file.seeds):
        raise ConfigError(f"{path}: seeds: the same seed twice")
    home, base = out or path.parent / file.out, _base(file, path, overrides)
    arms = {name: _arm(base, name, changes or {}, path) for name, changes in file.arms.items()}
    _refuse_alike(arms, path)
    return [
        Cell(arm=name, seed=seed, experiment=arm.but(seed=seed), folder=home / name / f"seed-{seed}")
        for seed in file.seeds
        for name, arm in arms.items()
    ]


def sweep(cells: Sequence[Cell], begin: Callable[[Cell, int], Progress]) -> Iterator[Ended]:
    """Runs each cell, or goes on with it; what is finished is left alone, and what fails does not keep the others.

    `begin` is told of each cell and its place before it is run. Work that is the same as that of other cells with the
    same seed is taken over, as far as they can be read: the student of round 0, its grades, the drafts and scores of
    round 1, and whatever else the arms come to alike. Replies of the user's cache count towards the caps of a cell as
    what they cost when they were bought, so that what an arm buys does not depend on which came first. Raises:
    KeyboardInterrupt; the same call goes on.
    """
    for place, cell in enumerate(cells):
        fresh = True
        try:
            fresh = not _finished(cell)
            if fresh:
                others = [one.folder for one in cells if one.seed == cell.seed and one is not cell]
                _run(cell, others, begin(cell, place))
        except Exception as error:
            yield Ended(cell=cell, fresh=True, error=error)
        else:
            yield Ended(cell=cell, fresh=fresh, cached=_cached(cell.folder))


def _run(cell: Cell, others: Sequence[Path], progress: Progress) -> None:
    """The cell, from what others have done; whichever has what is wanted lends it."""
    with ExitStack() as opened:
        lenders: list[Ledger] = []
        for folder in others:
            if (folder / FILE).exists():
                try:
                    lenders.append(opened.enter_context(Ledger(folder, write=False)))
                except RunFolderError as error:
                    progress.note(f"nothing is taken over from a cell that cannot be read: {error}")
        run(cell.experiment, cell.folder, progress, recalled=lenders, as_bought=True)


def _cached(folder: Path) -> int:
    with Ledger(folder, write=False) as ledger:
        return sum(from_json(Reply, event.payload).cached for event in ledger.events(Kind.REPLY))


def _finished(cell: Cell) -> bool:
    """Whether the very same experiment has run to its end there; one with more rounds or larger caps goes on."""
    if not (cell.folder / FILE).exists():
        return False
    with Ledger(cell.folder, write=False) as ledger:
        sessions, ends = list(ledger.events(Kind.SESSION)), list(ledger.events(Kind.STATE))
    if not sessions or not ends or ends[-1].seq < sessions[-1].seq:
        return False
    told = sessions[-1].payload
    return ends[-1].payload["state"] == "finished" and told["experiment"] == cell.experiment.resolved()


def _base(file: _File, path: Path, overrides: Sequence[str]) -> Experiment:
    beside = path.parent / file.base
    named = beside.is_file() or beside.suffix in (".yaml", ".yml")
    try:
        return find(str(beside) if named else file.base, overrides)
    except ConfigError as error:
        raise ConfigError(f"{path}: base: {error}") from error


def _arm(base: Experiment, name: str, changes: Mapping[str, Any], path: Path) -> Experiment:
    """The base with the changes of an arm, under the arm's name."""
    where = f"{path}: arms.{name}"
    for key, source in _OURS.items():
        if key in changes:
            raise ConfigError(f"{where}.{key}: is given by {source}; leave it out")
    raw = base.resolved()
    try:
        changed = {key: _merged(raw.get(key), value) for key, value in changes.items()}
        return base.but([], **changed | {"name": name})
    except ConfigError as error:
        raise ConfigError(f"{where}: {str(error).removeprefix('experiment: ')}") from error


def _merged(old: Any, new: Any) -> Any:
    """The new value; keys of a section go into the old one, but for a strategy that is named by its kind."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    was, now = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
    return now if _TAGS & now.keys() else was | {key: _merged(was.get(key), value) for key, value in now.items()}


def _refuse_alike(arms: Mapping[str, Experiment], path: Path) -> None:
    seen: dict[str, str] = {}
    for name, arm in arms.items():
        settings = repr({key: value for key, value in arm.resolved().items() if key != "name"})
        if settings in seen:
            raise ConfigError(f"{path}: arms.{name}: does the same as {seen[settings]}")
        seen[settings] = name


def _explained(error: ValidationError) -> str:
    """What pydantic found, an unknown key with the nearest known one."""
    for item in error.errors():
        if item["type"] == "extra_forbidden":
            return f"{item['loc'][0]}: unknown key; {nearest(str(item['loc'][0]), _File.model_fields)}"
    return reasons(error).lstrip(".")
