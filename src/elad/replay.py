"""A campaign again, from its ledger: offline, free, and with other choices on the answers already bought."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elad.errors import ConfigError, RunFolderError
from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.progress import Progress
from elad.records import Revision, Round, from_json
from elad.teachers.replay import NEVER_BOUGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The rounds, and which of the picked questions the source never bought."""

    rounds: tuple[Round, ...]
    unknown: tuple[str, ...]


def replay(source: Path, folder: Path, overrides: Sequence[str] = (), progress: Progress | None = None) -> Replayed:
    """Runs the experiment of `source` again in `folder`, its teacher replaced by what it answered.

    Drafts, scores, trained students and grades that are the same are taken over. Without overrides the run ends where
    `source` ended, also where a cap did it, so that its rows come out alike. With overrides its caps hold again, but
    for seconds, and what was never bought is `unknown`.
    Raises: RunFolderError where `source` cannot be replayed; ConfigError for an override of the teacher; the errors
    of `run`.
    """
    for item in overrides:
        if item.partition("=")[0].split(".")[0].strip() == "teacher":
            raise ConfigError(f"--set {item}: the teacher of a replay is the ledger, and nobody else is asked")
    if folder.resolve() == source.resolve():
        raise RunFolderError(f"{folder}: is the run that is replayed; give another folder")
    with Ledger(source, write=False) as ledger:
        _lend_students(ledger, folder)
        experiment = _experiment(ledger, source, ends=not overrides).but(overrides)
        rounds = run(experiment, folder, progress, recalled=[ledger])
    with Ledger(folder, write=False) as ledger:
        revisions = [from_json(Revision, event.payload) for event in ledger.events(Kind.REVISION)]
    unknown = [revision.problem_id for revision in revisions if NEVER_BOUGHT in revision.reason]
    return Replayed(rounds=tuple(rounds), unknown=tuple(unknown))


def _experiment(ledger: Ledger, source: Path, *, ends: bool) -> Experiment:
    sessions = [event.payload for event in ledger.events(Kind.SESSION)]
    if not sessions:
        raise RunFolderError(f"{source}: no run was begun there")
    told = sessions[-1]["experiment"]
    if not told["data"]["pool"]:
        raise RunFolderError(f"{source}: its questions were given in Python, not as files; they cannot be read again")
    changed: dict[str, Any] = {
        "teacher": {"kind": "replay", "source": str(source.resolve()), "ends": ends},
        "budget": told["budget"] | {"seconds": None},
    }
    if ends:  # the caps have done their work: what they left out is not in the ledger
        begun = max((event.round for event in ledger.events(Kind.PICK)), default=1)
        changed |= {"budget": {"questions": told["budget"]["questions"]}, "rounds": told["rounds"] | {"count": begun}}
        changed |= {"stopping": None}
    return Experiment.of(told | changed, base=Path(sessions[-1]["base"]))


def _lend_students(ledger: Ledger, folder: Path) -> None:
    """Links to the trained students of the source, so that none is trained twice."""
    for event in ledger.events(Kind.TRAINING):
        link = folder / event.payload["folder"]
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((ledger.folder / event.payload["folder"]).resolve(), target_is_directory=True)
