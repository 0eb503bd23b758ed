"""Guide: a second model learns first, explains what was bought once more, and is at hand where the student learns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from elad.abilities import Guides
from elad.experiment import Guide as Settings
from elad.kinds import describe
from elad.learning import Guide, Lesson, Need
from elad.ledger.events import Kind
from elad.protocols import Prompt, Student
from elad.records import Chain, Example, Grade, Problem, Sampling, derive_seed, digest, from_json, to_json
from elad.stages.drafting import DRAFT_CHUNK
from elad.stages.fitting import fit, load, summary_of, told
from elad.stages.rows import bought_problems, bought_rows, warmup_rows
from elad.tasks.chains import make_chain
from elad.training.objectives.sft import Sft
from elad.uncertainty.answers import settled
from elad.world import World

SOURCE = "guide"
"""Of an example that a guide wrote."""


class Beside:
    """The guide of a round: known by the fingerprint of its weights, and loaded when it is first looked at."""

    def __init__(self, identity: str, made: Callable[[], Student]) -> None:
        self.id = identity
        self._made = made

    @cached_property
    def student(self) -> Student:
        """It, as a student."""
        return self._made()

    def shown(self) -> Guide:
        """It, as one whose predictions can be looked at: that it is such a one was seen when the world was opened."""
        assert isinstance(self.student, Guides)
        return self.student.guide()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One explanation that is wanted of a guide."""

    problem: Problem
    sample: int


def guided(
    world: World, lesson: Lesson, rows: list[Example], first: int, number: int
) -> tuple[list[Example], Beside | None]:
    """The rows with what the guide of a round adds to them, and the guide itself where the lesson looks at it.

    `first` is the round from which on the student learns from what was bought. Round 0 has no guide: the format is
    learnt without.
    """
    settings = world.experiment.guide
    if settings is None or not number:
        return rows, None
    beside = _taught(world, settings, number)
    more = _explained(world, settings, beside, rows, first, number) if settings.samples else []
    return rows + more, beside if Need.GUIDE in lesson.objective.needs else None


def _taught(world: World, settings: Settings, number: int) -> Beside:
    """The guide as it came, or after it has learnt from all that was bought, whatever the student learns from."""
    came = world.guide
    assert came is not None, "a world is opened with its guide looked at"
    if settings.training is None:
        return Beside(came, settings.student.open)
    lesson = Lesson(objective=Sft(), training=settings.training, seed=derive_seed(world.experiment.seed, SOURCE))
    rows = warmup_rows(world) + bought_rows(world, 1, number)
    key = digest([SOURCE, came, told(rows), asdict(lesson.training), lesson.seed])
    summary, student = summary_of(world, key, number), None
    if summary is None:
        start = settings.student.open()
        student, summary = fit(world, start, rows, lesson, number=number, key=key, stage="train guide")
    too_long, most = summary.get("too_long", 0), lesson.training.max_length
    if too_long:
        over = f"{too_long} of {len(rows)} rows are over guide.training.max_length ({most} tokens)"
        world.progress.note(f"round {number}: {over}: the guide learns nothing from them")
    return Beside(summary["student"], lambda: student or load(world, settings.student, key))


def _explained(
    world: World, settings: Settings, beside: Beside, rows: Sequence[Example], first: int, number: int
) -> list[Example]:
    """The guide's own explanations of what was bought that end right, in the questions' order.

    A text that the rows have already, or that it wrote before, is left out. Without a gold answer there is no telling,
    and a question's explanations are left out.
    """
    sampling = Sampling(temperature=settings.temperature, max_tokens=world.experiment.drafting.max_tokens)
    asked = [
        Asked(problem=one, sample=i)
        for one in bought_problems(world, first, number)
        if one.answer
        for i in range(settings.samples)
    ]
    payloads = world.remembered(
        Kind.GUIDED,
        asked,
        lambda one: _key(world, beside.id, sampling, one),
        lambda chunk: _explain(world, beside.student, sampling, chunk),
        number=number,
        chunk=DRAFT_CHUNK,
        stage="explain",
    )
    right = list(_right(world, asked, payloads))
    there = {_said(row) for row in rows}
    fresh = {_said(one): one for one in right if _said(one) not in there}
    world.progress.note(_account(number, len(asked), len(right), len(fresh)))
    return list(fresh.values())


def _right(world: World, asked: Sequence[Asked], payloads: Sequence[Any]) -> Iterator[Example]:
    for one, payload in zip(asked, payloads, strict=True):
        if from_json(Grade, payload["grade"]).strict:
            text = from_json(Chain, payload["chain"]).text.rstrip()
            messages = world.task.messages(one.problem)
            yield Example(problem_id=one.problem.id, messages=messages, target=text, source=SOURCE)


def _said(row: Example) -> tuple[str, str]:
    return row.problem_id, row.target.rstrip()


def _account(number: int, asked: int, right: int, fresh: int) -> str:
    if not asked:
        return f"round {number}: the guide has nothing to explain: no question that was bought has a gold answer"
    return f"round {number}: {right} of {asked} explanations of the guide end right; {fresh} are new, and learnt from"


def _key(world: World, guide: str, sampling: Sampling, one: Asked) -> str:
    """Content hash of who explains what, and how."""
    how = [to_json(sampling), world.experiment.drafting.most_steps, _seed(world, one)]
    messages = [to_json(message) for message in world.task.messages(one.problem)]
    return digest([SOURCE, guide, to_json(one.problem), describe(world.task), messages, how])


def _explain(world: World, guide: Student, sampling: Sampling, asked: Sequence[Asked]) -> list[object]:
    prompts = [Prompt(messages=world.task.messages(one.problem), seed=_seed(world, one)) for one in asked]
    written = guide.generate(prompts, sampling, lambda at, text: settled(asked[at].problem, text, world.task))
    made: list[object] = []
    for one, prompt, said in zip(asked, prompts, written, strict=True):
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
