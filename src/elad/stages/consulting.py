"""Consult: what a reviser has the student write, or weigh."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

from elad.abilities import Contrasts
from elad.errors import ConfigError
from elad.ledger.events import Kind
from elad.protocols import (
    Consult,
    Contrast,
    Contrasting,
    Disagreement,
    Generation,
    Prompt,
    Sample,
    Student,
    Told,
    Weighing,
    Weights,
)
from elad.records import Sampling, digest, from_json, to_json
from elad.revision.driving import ask_key
from elad.world import World

CHUNK = 64

Write: TypeAlias = Callable[[list[Prompt], Sampling], list[Generation]]
Weigh: TypeAlias = Callable[[list[Weighing]], list[Weights]]
Hold: TypeAlias = Callable[[list[Contrasting]], list[Contrast]]


def consulted(world: World, asks: Sequence[Consult], number: int) -> list[Told]:
    """What the round's student says to each ask, in order; what it said before is read from the ledger."""
    return _told(
        asks,
        world.experiment.sampling,
        lambda prompts, sampling: _written(world, prompts, sampling, number),
        lambda weighings: _weighed(world, weighings, number),
        lambda contrastings: _contrasted(world, contrastings, number),
    )


def told_by(student: Student, asks: Sequence[Consult], sampling: Sampling) -> list[Told]:
    """What a student says to each ask, in order; `sampling` is for those that do not say how they are drawn.

    A guide is not there: it agrees with everything.
    """
    return _told(
        asks,
        sampling,
        student.generate,
        lambda weighings: _weights(student, weighings),
        lambda contrastings: [()] * len(contrastings),
    )


def _told(asks: Sequence[Consult], sampling: Sampling, write: Write, weigh: Weigh, hold: Hold) -> list[Told]:
    """What is drawn in one way is written together, and all that is weighed together, whatever it stands between."""
    told: dict[str, Told] = {}
    samples = [_sample(ask, sampling) for ask in asks if isinstance(ask, Prompt | Sample)]
    for way in dict.fromkeys(one.sampling for _, one in samples):
        alike = [(name, one.prompt) for name, one in samples if one.sampling == way]
        told |= zip((name for name, _ in alike), write([prompt for _, prompt in alike], way), strict=True)
    weighings = [ask for ask in asks if isinstance(ask, Weighing)]
    if weighings:
        told |= zip(map(ask_key, weighings), weigh(weighings), strict=True)
    contrastings = [ask for ask in asks if isinstance(ask, Contrasting)]
    if contrastings:
        told |= zip(map(ask_key, contrastings), hold(contrastings), strict=True)
    return [told[ask_key(ask)] for ask in asks]


def _sample(ask: Prompt | Sample, sampling: Sampling) -> tuple[str, Sample]:
    """The ask by its key, with the way in which it is drawn."""
    return ask_key(ask), Sample(prompt=ask, sampling=sampling) if isinstance(ask, Prompt) else ask


def _written(world: World, prompts: Sequence[Prompt], sampling: Sampling, number: int) -> list[Generation]:
    def key(prompt: Prompt) -> str:
        return digest([world.student.id, ask_key(prompt), to_json(sampling)])

    payloads = world.remembered(
        Kind.CONTINUATION,
        prompts,
        key,
        lambda chunk: [to_json(said) for said in world.student.generate(chunk, sampling)],
        number=number,
        chunk=CHUNK,
        stage="continue",
    )
    return [from_json(Generation, payload) for payload in payloads]


def _weighed(world: World, weighings: Sequence[Weighing], number: int) -> list[Weights]:
    payloads = world.remembered(
        Kind.WEIGHING,
        weighings,
        lambda one: digest([world.student.id, ask_key(one)]),
        lambda chunk: list(_weights(world.student, chunk)),
        number=number,
        chunk=CHUNK,
        stage="weigh",
    )
    return [tuple(tuple(option) for option in payload) for payload in payloads]


def _weights(student: Student, weighings: Sequence[Weighing]) -> list[Weights]:
    logs = iter(student.score([(one.prompt, option) for one in weighings for option in one.options]))
    return [tuple(next(logs) for _ in one.options) for one in weighings]


def _contrasted(world: World, contrastings: Sequence[Contrasting], number: int) -> list[Contrast]:
    """Raises: ConfigError where there is no guide, or the student cannot be held against it."""
    student, settings = world.student, world.experiment.guide
    if settings is None:
        raise ConfigError("reviser: asks what a guide would say, and there is none; say which: guide.student")
    if not isinstance(student, Contrasts):
        raise ConfigError("student: its engine cannot be held against a guide; take `engine: transformers`")
    guide = cache(settings.student.open)
    payloads = world.remembered(
        Kind.CONTRAST,
        contrastings,
        lambda one: digest([student.id, world.guide, ask_key(one)]),
        lambda chunk: [
            [to_json(one) for one in found]
            for found in student.contrast([(ask.prompt, ask.text) for ask in chunk], guide())
        ],
        number=number,
        chunk=CHUNK,
        stage="contrast",
    )
    return [tuple(from_json(Disagreement, one) for one in payload) for payload in payloads]
