"""The teacher looked at: an endpoint by asking it, any other by what it needs on this machine."""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from elad.doctor.finding import Finding, no, ok, unknown
from elad.errors import EladError, StudentError, TeacherError
from elad.experiment import Experiment
from elad.protocols import Teacher, TeacherSettings
from elad.records import Charge
from elad.students import inspection
from elad.students.models import gguf_place, on_disk
from elad.teachers.capabilities import Capabilities
from elad.teachers.llamacpp import LlamaCpp
from elad.teachers.openai import OpenAI

if TYPE_CHECKING:
    from elad.teachers.endpoint import Endpoint

_NOTHING = Charge()
_WHITE_BOX = "nothing: needed by white-box objectives only"
_SPARED = "reachable, key, model, replies and their limits were not looked at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was found of the teacher."""

    findings: list[Finding]
    capabilities: Capabilities | None = None
    most: Charge = _NOTHING
    """What looking could have taken, as it was told."""
    spent: Charge = _NOTHING


def live(settings: TeacherSettings) -> TeacherSettings:
    """The teacher as it is asked one request at a time, also where a run would send it batches."""
    return replace(settings, channel="live") if isinstance(settings, OpenAI) else settings


def look(experiment: Experiment, tell: Callable[[str], None], wait: Callable[[float], None] = time.sleep) -> Seen:
    """What the teacher bears. `tell` hears of the cost before anything is sent.

    A teacher that would load a model is not opened.
    """
    if isinstance(experiment.teacher, LlamaCpp):
        model = experiment.teacher.model
        return Seen(findings=[*_in_process(experiment.teacher), *_tokenizers(experiment, lambda: gguf_place(model))])
    try:
        teacher = live(experiment.teacher).open()
    except TeacherError as error:
        return Seen(findings=[no("reachable", str(error), "start the teacher, or correct its address", fatal=True)])
    except EladError as error:
        return Seen(findings=[no("teacher", str(error), "correct what it names", fatal=True)])
    try:
        suited = [_serves(experiment, teacher), _price(experiment, teacher)]
        if not isinstance(experiment.teacher, OpenAI):
            return Seen(findings=[ok("endpoint", f"{teacher.id} works in this process: {_SPARED}"), *suited])
        return _asked(experiment, experiment.teacher, teacher, suited, tell, wait)
    finally:
        teacher.close()


def _asked(
    experiment: Experiment,
    settings: OpenAI,
    teacher: Teacher,
    suited: list[Finding],
    tell: Callable[[str], None],
    wait: Callable[[float], None],
) -> Seen:
    from elad.doctor import endpoint
    from elad.teachers.endpoint import Endpoint

    assert isinstance(teacher, Endpoint)
    most = endpoint.bound(teacher)
    money = f", {most.money:.4f} {most.currency}" if most.currency else "; no price is known"
    tell(f"looking at {teacher.where} takes at most {most.calls} calls, "
         f"{most.tokens_in} + {most.tokens_out} tokens{money}")  # fmt: skip
    seen = endpoint.look(teacher, settings.api_key_file or settings.api_key_env, wait)
    batches = _batches(settings, teacher, wait) if seen.capabilities else []
    named = settings.tokenizer
    alike = _tokenizers(experiment, lambda: on_disk(named) if named else None)
    findings = [*seen.findings, *batches, *suited, *alike]
    return Seen(findings=findings, capabilities=seen.capabilities, most=most, spent=seen.spent)


def _batches(settings: OpenAI, endpoint: "Endpoint", wait: Callable[[float], None]) -> list[Finding]:
    """Whether there are batches, where they are wanted; to list them costs nothing."""
    from elad.teachers.batch_api import BatchApi, Refused

    name, wanted = "batch API", settings.channel == "batch"
    if settings.channel == "live":
        return []
    try:
        next(BatchApi(endpoint, wait).listed(), None)
    except Refused as error:
        remedy = "set teacher.channel: live" if wanted else "nothing: `auto` then asks request by request"
        return [no(name, f"it does not list its batches: {error}", remedy, fatal=wanted)]
    except TeacherError as error:
        return [unknown(name, str(error), fatal=wanted)]
    return [ok(name, "it lists its batches", fatal=wanted)]


def _serves(experiment: Experiment, teacher: Teacher) -> Finding:
    lacking = sorted(experiment.reviser.needs - teacher.serves)
    if not lacking:
        return ok("reviser", f"{teacher.id} can do all that the reviser needs", fatal=True)
    told = f"{teacher.id} cannot {', '.join(lacking)}, as the reviser needs"
    return no("reviser", told, "take another judge or reviser, or another teacher", fatal=True)


def _price(experiment: Experiment, teacher: Teacher) -> Finding:
    price = getattr(experiment.teacher, "price", None)
    if price is not None or teacher.priced:
        return ok("price", price.version if price is not None else "it costs no money")
    capped = experiment.budget.money is not None
    found = "none is known" + (": budget.money cannot hold without one" if capped else ": money is not counted")
    return no("price", found, "give teacher.price: a model's name in the price list, or numbers", fatal=capped)


def _in_process(settings: LlamaCpp) -> list[Finding]:
    """What a GGUF file needs to be run in this process."""
    found: list[Finding] = []
    if importlib.util.find_spec("xllamacpp") is None:
        found.append(no("teacher", "xllamacpp is not installed", "pip install 'elad[llamacpp]'", fatal=True))
    try:
        path = gguf_place(settings.model)
    except StudentError as error:
        return [*found, no("teacher file", str(error), "correct teacher.model", fatal=True)]
    if not path.is_file():
        remedy = "nothing: it is fetched when it is first used, where it can be had; else put it there"
        return [*found, unknown("teacher file", f"{path} is not there yet", remedy, fatal=True)]
    told = f"{path}, {path.stat().st_size / 2**30:.2f} GiB; it is not loaded: {_SPARED}"
    return [*found, ok("teacher file", told, fatal=True)]


def _tokenizers(experiment: Experiment, place: Callable[[], Path | None]) -> list[Finding]:
    """Whether teacher and student cut text and frame its turns alike; `place` is where the teacher's files are."""
    names, model = ("tokenizers alike", "chat templates alike"), getattr(experiment.student, "model", None)
    try:
        paths = place(), on_disk(model) if isinstance(model, str) else None
        teacher, student = (inspection.tokenizer(path) if path and path.exists() else None for path in paths)
    except StudentError as error:
        return [unknown(name, str(error), _WHITE_BOX) for name in names]
    if teacher is None or student is None:
        whose = "teacher" if teacher is None else "student"
        return [unknown(name, f"the {whose}'s tokenizer is not on this machine", _WHITE_BOX) for name in names]
    return [_vocabularies(names[0], teacher, student), _templates(names[1], teacher, student)]


def _vocabularies(name: str, teacher: inspection.Tokenizer, student: inspection.Tokenizer) -> Finding:
    sizes = len(teacher.vocabulary), len(student.vocabulary)
    if teacher.vocabulary == student.vocabulary:
        return ok(name, f"both know the same {sizes[0]} tokens")
    shared = len(teacher.vocabulary.items() & student.vocabulary.items())
    return no(name, f"{sizes[0]} tokens against {sizes[1]}, {shared} the same", _WHITE_BOX)


def _templates(name: str, teacher: inspection.Tokenizer, student: inspection.Tokenizer) -> Finding:
    if teacher.template is None or student.template is None:
        whose = "teacher" if teacher.template is None else "student"
        return unknown(name, f"the {whose} has none", _WHITE_BOX)
    if teacher.template.strip() == student.template.strip():
        return ok(name, "both frame turns by the same template")
    return no(name, "they differ, so the same conversation is other tokens to each", _WHITE_BOX)
