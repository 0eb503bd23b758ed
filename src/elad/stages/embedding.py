"""Embed: where each question lies among the others, for the selectors that look at it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from elad.ledger.events import Kind
from elad.protocols import Embedded
from elad.records import Candidate, Problem, digest, to_json
from elad.views import View
from elad.world import World

EMBED_CHUNK = 128


def embed(world: World, candidates: Sequence[Candidate], number: int) -> Sequence[Candidate]:
    """The candidates with their embeddings; as they are where the selector does not look at them.

    Raises: ConfigError where the student's engine has no embeddings, or an encoder cannot be loaded.
    """
    problems = View(range(len(candidates)), lambda place: candidates[place].problem)
    found = embeddings(world, problems, number)
    if found is None:
        return candidates
    return View(range(len(candidates)), lambda place: replace(candidates[place], embedding=tuple(found[place])))


def embeddings(world: World, problems: Sequence[Problem], number: int) -> Sequence[Any] | None:
    """A vector for each problem; None where the selector does not look at them.

    Raises: ConfigError where they cannot be had.
    """
    selector = world.experiment.selector
    encoder = selector.encoder if isinstance(selector, Embedded) else None
    if encoder is None:
        return None
    who = [to_json(encoder), world.student.id if encoder.own else None]

    def key(problem: Problem) -> str:
        asked = [to_json(message) for message in world.task.messages(problem)]
        return digest([who, problem.id, asked])

    def make(chunk: Sequence[Problem]) -> list[Any]:
        vectors = encoder(chunk, world.student, world.task)
        # Six digits: what an embedding says is rougher by far, and a pool of them stands in the ledger.
        return [[float(f"{value:.6g}") for value in vector] for vector in vectors]

    return world.remembered(
        Kind.EMBEDDING, problems, key, make, number=number, chunk=EMBED_CHUNK, stage="embed"
    )  # fmt: skip
