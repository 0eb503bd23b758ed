"""Embed: where each question lies among the others, for the selectors that look at it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from elad.ledger.events import Kind
from elad.protocols import Embedded
from elad.records import Candidate, digest, to_json
from elad.views import View
from elad.world import World

EMBED_CHUNK = 128


def embed(world: World, candidates: Sequence[Candidate], number: int) -> Sequence[Candidate]:
    """The candidates with their embeddings; as they are where the selector does not look at them.

    Raises: ConfigError where the student's engine has no embeddings, or an encoder cannot be loaded.
    """
    selector = world.experiment.selector
    if not isinstance(selector, Embedded):
        return candidates
    encoder = selector.encoder
    who = [to_json(encoder), world.student.id if encoder.own else None]

    def key(candidate: Candidate) -> str:
        asked = [to_json(message) for message in world.task.messages(candidate.problem)]
        return digest([who, candidate.problem.id, asked])

    def make(chunk: Sequence[Candidate]) -> list[Any]:
        vectors = encoder([candidate.problem for candidate in chunk], world.student, world.task)
        # Six digits: what an embedding says is rougher by far, and a pool of them stands in the ledger.
        return [[float(f"{value:.6g}") for value in vector] for vector in vectors]

    payloads = world.remembered(
        Kind.EMBEDDING, candidates, key, make, number=number, chunk=EMBED_CHUNK, stage="embed"
    )  # fmt: skip
    return View(range(len(candidates)), lambda place: replace(candidates[place], embedding=tuple(payloads[place])))
