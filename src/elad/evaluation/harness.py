"""Tasks that others are measured by: an adapter for lm-evaluation-harness, beside our own graders.

The model is loaded as a student is (safetensors, no code of its own) and handed over; prompts, decoding and grades are
the harness's. Its tasks fetch their data from the hub, unless their files say otherwise.
"""

import contextlib
import difflib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from elad.errors import InputError, nearest
from elad.evaluation.trained import LAST, trained
from elad.kinds import build
from elad.ledger.events import FILE

if TYPE_CHECKING:
    from elad.students.transformers import TransformersStudent

_MOST_NAMED = 40
"""The harness knows thousands of tasks; no more than so many are named in an error."""
_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which tasks, and how they are put."""

    tasks: Sequence[str]
    folder: Path | None = None
    """A folder of task files to take them from, in place of the harness's own."""
    limit: int | None = None
    """Questions of each task, at most."""
    few_shot: int | None = None
    """Examples before each question; None: as many as the task says."""
    chat: bool = False
    """Put questions in the model's chat template, as a student's are in training."""

    def __post_init__(self) -> None:
        """Raises: InputError without a task, and for a folder that is none."""
        if not all(self.tasks) or not self.tasks:
            raise InputError("--tasks: expected names of tasks, with commas between them")
        if self.folder is not None and not self.folder.is_dir():
            raise InputError(f"--include {self.folder}: no such folder")


def run_tasks(model: str, asked: Asked) -> dict[str, Any]:
    """What a model comes to on each task, as plain JSON values.

    `model` is a run folder (its last student), a model folder, a name that `elad models` lists, or a hub id. `interval`
    is at 95 %, of 1.96 of the harness's own standard errors to each side; None where it gives none.
    Raises: InputError where the harness is missing, a task is unknown or cannot be loaded, or the model cannot be had.
    """
    harness, tasks, huggingface = map(_part, ("lm_eval", "lm_eval.tasks", "lm_eval.models.huggingface"))
    manager = tasks.TaskManager(
        include_path=str(asked.folder) if asked.folder else None, include_defaults=asked.folder is None
    )
    _refuse_unknown(asked.tasks, manager.all_tasks)
    student = _loaded(model)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            found = harness.simple_evaluate(
                model=huggingface.HFLM(
                    pretrained=student.model, tokenizer=student.tokenizer, batch_size=student.settings.batch_size
                ),
                tasks=list(asked.tasks),
                task_manager=manager,
                num_fewshot=asked.few_shot,
                limit=asked.limit,
                apply_chat_template=asked.chat,
                log_samples=False,
            )
        except Exception as error:  # whatever a task's files, its data and the network may come to
            said = " ".join(str(error).split())[:400]
            raise InputError(f"--tasks {','.join(asked.tasks)}: {type(error).__name__}: {said}") from error
    return {
        "model": model,
        "student": student.id,
        "harness": harness.__version__,
        "limit": asked.limit,
        "chat": asked.chat,
        "tasks": list(rows(found)),
    }


def rows(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row for each number of each task, from what the harness gives; what is no number is left out."""
    for task, told in found["results"].items():
        for key, value in told.items():
            metric, comma, filtered = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = told.get(f"{metric}_stderr,{filtered}")
            error = float(error) if isinstance(error, int | float) else None
            yield {
                "task": task,
                "metric": metric,
                "filter": filtered,
                "value": float(value),
                "stderr": error,
                "interval": None if error is None else [value - _Z * error, value + _Z * error],
                "questions": found.get("n-samples", {}).get(task, {}).get("effective"),
                "few_shot": found.get("n-shot", {}).get(task),
                "version": found.get("versions", {}).get(task),
            }


def _part(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = error.name or str(error)
        told = f"elad eval MODEL --tasks: needs lm-evaluation-harness (there is no {missing!r})"
        raise InputError(f"{told}: pip install 'elad[train,harness]'") from error


def _refuse_unknown(asked: Sequence[str], known: Sequence[str]) -> None:
    for name in asked:
        if name in known:
            continue
        near = len(known) <= _MOST_NAMED or difflib.get_close_matches(name, known, n=1)
        told = nearest(name, known) if near else f"{len(known):,} are known; `lm-eval ls tasks` lists them"
        raise InputError(f"--tasks {name}: unknown task; {told}")


def _loaded(model: str) -> "TransformersStudent":
    if (Path(model) / FILE).is_file():
        return trained(Path(model), LAST).load()
    return build("elad.students", {"engine": "transformers", "model": model}, "MODEL", tag="engine").open()
