"""The student looked at by its files, and the machine that it will work on."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elad.doctor.finding import Finding, no, ok, unknown
from elad.errors import ConfigError, StudentError
from elad.experiment import Experiment
from elad.students import inspection
from elad.students.models import on_disk

_GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2}
_BESIDE_WEIGHTS = 20_000_000
"""Bytes that tokenizer, manifest and configuration of a checkpoint take."""
_CHAT = "choose an instruction-tuned student: without a template, turns are joined by blank lines"


def look(experiment: Experiment, runs: Path) -> list[Finding]:
    """What the student's files and the machine bear; nothing is fetched and no weight is loaded.

    `runs` is where checkpoints will lie.
    """
    name = getattr(experiment.student, "model", None)
    if not isinstance(name, str):
        spared = "tokenizer, chat template, context, disk, memory and threads were not looked at"
        engine = experiment.resolved()["student"]["engine"]
        return [ok("student files", f"the student `{engine}` has none: {spared}", fatal=True)]
    try:
        path = on_disk(name)
    except StudentError as error:
        return [no("student files", str(error), "correct student.model", fatal=True), *_machine(experiment)]
    if path is None:
        found = f"{name} is not on this machine: the first run fetches it"
        remedy = "run `elad models` to see where from; look again when it is there"
        return [unknown("student files", found, remedy, fatal=True), *_machine(experiment)]
    return [
        ok("student files", str(path), fatal=True),
        *_tokenizer(path),
        *_sizes(experiment, path, runs),
        *_machine(experiment),
    ]


def _tokenizer(path: Path) -> list[Finding]:
    try:
        found = inspection.tokenizer(path)
    except StudentError as error:
        return [no("student tokenizer", str(error), "mend the model's folder, or take another model", fatal=True)]
    eos, template = "end-of-text token", "chat template"
    return [
        ok("student tokenizer", f"{len(found.vocabulary)} tokens", fatal=True),
        ok(eos, found.eos, fatal=True) if found.eos else no(eos, "there is none", "take another student", fatal=True),
        ok(template, "there is one") if found.template else no(template, "there is none", _CHAT),
    ]


def _sizes(experiment: Experiment, path: Path, runs: Path) -> list[Finding]:
    if path.is_file():
        why = "the GGUF file is converted by the first run"
        return [unknown(name, why, "look again after it") for name in ("student context", "disk", "memory")]
    try:
        size, told = inspection.weights(path), inspection.configuration(path)
    except StudentError as error:
        return [no("student weights", str(error), "mend the model's folder, or take another model", fatal=True)]
    return [_context(experiment, told), _disk(experiment, size, runs), _memory(experiment, size)]


def _context(experiment: Experiment, told: Mapping[str, Any]) -> Finding:
    name, wanted = "student context", experiment.drafting.max_tokens
    try:
        length = inspection.context(told, experiment.resolved()["student"].get("max_length"))
    except ConfigError:
        return no(name, "its configuration does not tell", "say how many tokens: student.max_length", fatal=True)
    if length <= wanted:
        found = f"{length} tokens, and drafting.max_tokens is {wanted}: no question fits beside it"
        return no(name, found, "lower drafting.max_tokens, or take a student with a longer context", fatal=True)
    return ok(name, f"{length} tokens, {wanted} of them for a draft", fatal=True)


def _disk(experiment: Experiment, size: inspection.Weights, runs: Path) -> Finding:
    """A checkpoint is the adapters or all weights, in float32; there is one a round, and one of the warm-up."""
    lora: dict[str, Any] | None = experiment.resolved()["student"].get("lora")
    # A student that was trained before is saved whole: adapters would not fit the base any more.
    adapters = lora is not None and not experiment.training.warm_start
    trained = size.adapted * (lora or {"rank": 0})["rank"] if adapters else size.parameters
    count = experiment.rounds.count + 1
    wanted = count * (trained * _BYTES["float32"] + _BESIDE_WEIGHTS)
    there = next(folder for folder in (runs, *runs.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    found = f"{_gib(free)} free in {there}, {_gib(wanted)} needed for {count} checkpoints"
    if free < wanted:
        return no("disk", found, "make room, run on another disk (--out), or train adapters (student.lora)", fatal=True)
    return ok("disk", found, fatal=True)


def _memory(experiment: Experiment, size: inspection.Weights) -> Finding:
    student = experiment.resolved()["student"]
    held = size.parameters * _BYTES.get(student.get("dtype", ""), 4)
    # Training works on a copy: with adapters in the model's own numbers, else in float32 with gradient and two moments.
    trained = held if student.get("lora") else size.parameters * _BYTES["float32"] * 4
    wanted, free = held + trained, available_memory()
    if free is None:
        return unknown("memory", f"{_gib(wanted)} needed for weights and training", "see that there is as much")
    found = f"{_gib(free)} free, {_gib(wanted)} needed for weights and training, activations not counted"
    if free < wanted:
        return no("memory", found, "end other programs, take a smaller student, or train adapters", fatal=True)
    return ok("memory", found, fatal=True)


def available_memory() -> int | None:
    """Bytes that a new program may take without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return int(told["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _machine(experiment: Experiment) -> list[Finding]:
    return [_threads(), _arithmetic(experiment)]


def _threads() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = inspection.torch_threads()
    if threads is None:
        return unknown("threads", f"{cores} cores; torch is not installed", "pip install 'elad[train]'")
    found = f"{cores} cores, torch works with {threads} threads"
    if threads > cores:
        return no("threads", found, f"set OMP_NUM_THREADS={cores}: threads beyond the cores wait by spinning")
    return ok("threads", found)


def _arithmetic(experiment: Experiment) -> Finding:
    name, dtype = "arithmetic", experiment.resolved()["student"].get("dtype")
    try:
        native = inspection.multiplies_bfloat16()
    except ImportError:
        return unknown(name, "torch is not installed", "pip install 'elad[train]'")
    if dtype == "bfloat16" and not native:
        found = "bfloat16, which this machine multiplies in software: up to seventy times slower than float32"
        return no(name, found, "set student.dtype to auto or float32")
    return ok(name, "bfloat16" if native and dtype != "float32" else "float32")


def _gib(size: float) -> str:
    return f"{size / _GIB:.2f} GiB"
