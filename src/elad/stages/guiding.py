"""Guide: a second model learns first, explains what was bought once more, and is at hand where the student learns."""

from collections.abc import Sequence
from dataclasses import dataclass

from elad.abilities import Guides
from elad.errors import ConfigError
from elad.experiment import Guide as Settings
from elad.kinds import describe
from elad.learning import Guide, Lesson, Need
from elad.ledger.events import Kind
from elad.protocols import Prompt, Student
from elad.records import Chain, Example, Grade, Problem, Sampling, derive_seed, digest, from_json, to_json
from elad.stages.drafting import DRAFT_CHUNK
from elad.tasks.chains import make_chain
from elad.world import World

SOURCE = "guide"
"""Of an example that a guide wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One explanation that is wanted of a guide."""

    problem: Problem
    sample: int


def explained(
    world: World, settings: Settings, guide: Student, problems: Sequence[Problem], number: int
) -> list[Example]:
    """The guide's own explanations of these questions that end right, each text once, in the questions' order.

    Without a gold answer there is no telling, and a question's explanations are left out.
    """
    sampling = Sampling(temperature=settings.temperature, max_tokens=world.experiment.drafting.max_tokens)
    asked = [Asked(problem=one, sample=i) for one in problems if one.answer for i in range(settings.samples)]

    def key(one: Asked) -> str:
        return digest(
            [SOURCE, guide.id, to_json(one.problem), describe(world.task), to_json(sampling), _seed(world, one)]
        )

    payloads = world.remembered(
        Kind.GUIDED,
        asked,
        key,
        lambda chunk: _explain(world, guide, sampling, chunk),
        number=number,
        chunk=DRAFT_CHUNK,
        stage="guide",
    )
    found: dict[tuple[str, str], Example] = {}
    for one, payload in zip(asked, payloads, strict=True):
        chain = from_json(Chain, payload["chain"])
        if from_json(Grade, payload["grade"]).strict:
            messages = world.task.messages(one.problem)
            example = Example(problem_id=one.problem.id, messages=messages, target=chain.text, source=SOURCE)
            found.setdefault((one.problem.id, chain.text), example)
    return list(found.values())


def _explain(world: World, guide: Student, sampling: Sampling, asked: Sequence[Asked]) -> list[object]:
    prompts = [Prompt(messages=world.task.messages(one.problem), seed=_seed(world, one)) for one in asked]
    made: list[object] = []
    for one, prompt, said in zip(asked, prompts, guide.generate(prompts, sampling), strict=True):
        chain = make_chain(
            said.text,
            one.problem,
            world.task,
            finished=said.finished,
            sampling=sampling,
            seed=prompt.seed,
            tokens=said.tokens,
            most_steps=world.experiment.drafting.most_steps,
        )
        made.append({"chain": to_json(chain), "grade": to_json(world.task.grade(one.problem, chain))})
    return made


def _seed(world: World, one: Asked) -> int:
    return derive_seed(world.experiment.seed, SOURCE, one.problem.id, one.sample)


def shown(student: Student) -> Guide:
    """The student as a guide. Raises: ConfigError where its engine shows none of its predictions."""
    if not isinstance(student, Guides):
        raise ConfigError("guide.student: its engine does not show its predictions; take `engine: transformers`")
    return student.guide()


def wants(lesson: Lesson) -> bool:
    """Whether a lesson looks at what a guide predicts."""
    return Need.GUIDE in lesson.objective.needs
