"""Draft: what the student thinks of each question that is still open."""

from array import array
from collections.abc import Sequence
from dataclasses import replace

from elad.experiment import Experiment
from elad.kinds import describe
from elad.ledger.events import Kind
from elad.outcomes import ParseOutcome
from elad.protocols import Prompt, Student
from elad.records import Chain, Problem, derive_seed, digest, from_json, to_json
from elad.tasks.chains import make_chain
from elad.views import View
from elad.world import World

DRAFT_CHUNK = 128


def draft(world: World, number: int) -> Sequence[tuple[Problem, Chain]]:
    """A chain of the current student for each open question that fits its context, in the pool's order.

    Questions and chains are read when they are looked at, and held by nobody.
    Of a question that does not fit there is no chain to repair: its draft is written down as such, and nothing more.
    """
    problems = open_problems(world, number)
    payloads = world.remembered(
        Kind.DRAFT,
        problems,
        lambda problem: draft_key(world, problem),
        lambda chunk: [to_json(chain) for chain in chains(world.experiment, world.student, chunk)],
        number=number,
        chunk=DRAFT_CHUNK,
        stage="draft",
    )
    fitting = array("Q", (i for i, chain in enumerate(payloads) if chain["outcome"] != ParseOutcome.TOO_LONG))
    if len(fitting) < len(problems):
        count = f"{len(problems) - len(fitting)} of {len(problems)}"
        world.progress.note(f"{count} questions do not fit the student's context: they are never bought")
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
    """The pool without what rounds before this one picked or found too long, in the pool's order."""
    closed = {
        event.payload["problem_id"]
        for kind in (Kind.PICK, Kind.DRAFT)
        for event in world.ledger.events(kind)
        if event.round < number and (kind is Kind.PICK or event.payload["outcome"] == ParseOutcome.TOO_LONG)
    }
    places = array("Q", (place for place, problem in enumerate(world.pool) if problem.id not in closed))
    return View(places, world.pool.__getitem__)
