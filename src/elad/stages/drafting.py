"""Draft: what the student thinks of each question that is still open."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from heapq import nsmallest
from typing import Any, TypeAlias

from elad.abilities import Remembers
from elad.asks import Prompt
from elad.experiment import Experiment
from elad.kinds import describe
from elad.ledger.events import Event, Kind
from elad.outcomes import ParseOutcome
from elad.protocols import Student
from elad.records import Chain, Problem, derive_seed, digest, from_json, to_json
from elad.stages.cold import tell_if_cold
from elad.tasks.chains import make_chain
from elad.views import View
from elad.world import World

DRAFT_CHUNK = 128
ALONG_CHUNK = 32
"""Questions that are drafted and scored in one go: what an end in between loses, and a cap on seconds overshoots by."""


Along: TypeAlias = Callable[[Sequence[tuple[Problem, Chain]]], Iterable[tuple[Kind, str, Any]]]
"""What is worked out from drafts while the student still has them in mind, as events."""


def draft(world: World, number: int, count: int, along: Along | None = None) -> Sequence[tuple[Problem, Chain]]:
    """A chain of the current student for each open question that fits its context, in the pool's order.

    Where questions are picked by lot, `count` of them are drawn first and none but these is drafted.
    What comes `along` with each chunk is written down with it: killed in between, both are made again.
    Questions and chains are read when they are looked at, and held by nobody.
    Of a question that does not fit there is no chain to repair: its draft is written down as such, and nothing more.
    """
    problems = open_problems(world, number)
    if world.by_lot:
        problems = _drawn(world, problems, to_pick(world, number, count))
    beside: list[tuple[Kind, str, Any]] = []

    def make(chunk: Sequence[Problem]) -> list[Any]:
        student = world.student
        with student.remembering() if along and isinstance(student, Remembers) else nullcontext():
            made = chains(world.experiment, student, chunk)
            beside[:] = along(list(zip(chunk, made, strict=True))) if along else ()
        return [to_json(chain) for chain in made]

    payloads = world.remembered(
        Kind.DRAFT,
        problems,
        lambda problem: draft_key(world, problem),
        make,
        number=number,
        chunk=ALONG_CHUNK if along else DRAFT_CHUNK,
        stage="draft, score" if along else "draft",
        beside=lambda: beside,
    )
    fitting, unread = array("Q"), 0
    for place, chain in enumerate(payloads):
        if chain["outcome"] != ParseOutcome.TOO_LONG:
            fitting.append(place)
            unread += chain["answer"] is None
    tell_if_cold(world, number, len(fitting), unread)
    if len(fitting) < len(problems):
        told = f"{len(problems) - len(fitting)} of {len(problems)}"
        world.progress.note(f"{told} questions do not fit the student's context: they are never bought")
    return View(fitting, lambda place: (problems[place], from_json(Chain, payloads[place])))


def chains(experiment: Experiment, student: Student, problems: Sequence[Problem]) -> list[Chain]:
    """One chain of the student for each problem; an empty one, `TOO_LONG`, where it does not fit the context."""
    seeds = [derive_seed(experiment.seed, "draft", problem.id) for problem in problems]
    prompts = [
        Prompt(messages=experiment.task.messages(problem), seed=seed)
        for problem, seed in zip(problems, seeds, strict=True)
    ]
    generations = student.generate(prompts, experiment.sampling)
    made = [
        make_chain(
            generation.text,
            problem,
            experiment.task,
            finished=generation.finished,
            sampling=experiment.sampling,
            seed=seed,
            tokens=generation.tokens,
            most_steps=experiment.drafting.most_steps,
        )
        for problem, seed, generation in zip(problems, seeds, generations, strict=True)
    ]
    return [
        replace(
            chain,
            surprise=generation.surprise,
            outcome=ParseOutcome.TOO_LONG if generation.too_long else chain.outcome,
        )
        for chain, generation in zip(made, generations, strict=True)
    ]


def draft_key(world: World, problem: Problem) -> str:
    """Content hash of who drafts what, and how."""
    drafting = [to_json(world.experiment.sampling), world.experiment.drafting.most_steps, world.experiment.seed]
    asked = [to_json(message) for message in world.task.messages(problem)]
    return digest([world.student.id, to_json(problem), describe(world.task), asked, drafting])


def open_problems(world: World, number: int) -> Sequence[Problem]:
    """The pool without what rounds before this one picked or anyone found too long, in the pool's order."""
    picked = {event.payload["problem_id"] for event in world.ledger.events(Kind.PICK) if event.round < number}
    too_long = {
        event.payload["problem_id"]
        for event in _unfit(world)
        if event.round < number or (event.round == number and event.arm != world.ledger.arm)
    }
    closed = picked | too_long
    places = array("Q", (place for place, problem in enumerate(world.pool) if problem.id not in closed))
    return View(places, world.pool.__getitem__)


def _unfit(world: World) -> Sequence[Event]:
    """The drafts of any arm that were found too long so far; each draft is read once, however many rounds ask."""
    for event in world.ledger.of(None).events(Kind.DRAFT, after=world.drafts_read):
        world.drafts_read = event.seq
        if event.payload["outcome"] == ParseOutcome.TOO_LONG:
            world.unfit.append(event)
    return world.unfit


def to_pick(world: World, number: int, count: int) -> int:
    """How many are picked: a resumed round keeps its picks, so that they must be among what is kept."""
    return sum(event.round == number for event in world.ledger.events(Kind.PICK)) or count


def _drawn(world: World, problems: Sequence[Problem], count: int) -> Sequence[Problem]:
    """The first ones in an order of the whole pool that the seed draws once: no draw hangs on another."""
    lots = ((derive_seed(world.experiment.seed, "lot", problem.id), place) for place, problem in enumerate(problems))
    places = sorted(place for _, place in nsmallest(count, lots))
    return View(places, problems.__getitem__)
