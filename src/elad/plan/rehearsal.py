"""What single questions cost: rehearsed without a teacher, or seen in earlier runs.

A rehearsal sends the reviser's own requests, on chains of the student, to the scripted teacher, which costs
nothing: once with a teacher that does everything right, once with one that mostly does not. So the
number of calls and every byte of the prompts are those of the run; only the length of the replies is guessed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import commonprefix
from pathlib import Path

from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.protocols import Generation, Prompt, Student, Task, Told
from elad.records import Candidate, Chain, Charge, Problem, Request, Revision, from_json
from elad.revision.driving import drive
from elad.stages.drafting import chains
from elad.steps import is_conclusion, split
from elad.tasks.chains import make_chain
from elad.teachers.fake import Fake, Fault

_MOST_STEPS = 1000
_CLUMSY = {Fault.WRONG_END: 0.4, Fault.GARBAGE: 0.2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Costs of the same questions with a teacher that does well and with one that does not."""

    good: tuple[Charge, ...]
    clumsy: tuple[Charge, ...]
    cacheable: float
    """Share of the prompts' bytes that stands at the start of all prompts of its kind, 0..1."""
    drafted: int
    """How many chains are the student's own; the others are made up from the reference."""


def rehearse(experiment: Experiment, problems: Sequence[Problem], student: Student | None) -> Rehearsal:
    """Revises each problem without a teacher. Tokens are estimated by bytes; no money."""
    answered = [replace(problem, answer=_answer(experiment.task, problem)) for problem in problems]
    drafts = chains(experiment, student, answered) if student else [_made_up(experiment, one) for one in answered]
    candidates = [
        Candidate(problem=problem, chain=chain, scores=None) for problem, chain in zip(answered, drafts, strict=True)
    ]
    good, asked = _costs(experiment, candidates, student, Fake())
    clumsy, _ = _costs(experiment, candidates, student, Fake(faults=_CLUMSY))
    drafted = len(problems) if student else 0
    return Rehearsal(good=good, clumsy=clumsy, cacheable=_shared_start(asked), drafted=drafted)


def seen(folders: Sequence[Path], experiment: Experiment) -> list[Charge]:
    """What each finished revision cost in earlier runs with the same reviser and the same model."""
    costs: list[Charge] = []
    wanted = experiment.resolved()
    for folder in folders:
        with Ledger(folder, write=False) as ledger:
            sessions = [event.payload["experiment"] for event in ledger.events(Kind.SESSION)]
            alike = bool(sessions) and all(
                sessions[-1][part] == wanted[part] if part == "reviser" else _model(sessions[-1]) == _model(wanted)
                for part in ("reviser", "teacher")
            )
            if alike:
                costs += [from_json(Revision, event.payload).charge for event in ledger.events(Kind.REVISION)]
    return costs


def _model(resolved: dict[str, dict[str, object]]) -> tuple[object, object]:
    teacher = resolved["teacher"]
    return teacher["kind"], teacher.get("model")


def _answer(task: Task, problem: Problem) -> str:
    """The gold answer; where there is none, something that a chain can conclude."""
    return problem.answer or (
        problem.choices[0] if problem.choices else task.wrong_answer(replace(problem, answer="1"))
    )


def _made_up(experiment: Experiment, problem: Problem) -> Chain:
    """The reference ending wrong: about as long as a chain that needs repair."""
    task = experiment.task
    pieces = split(problem.rationale or problem.question, most=_MOST_STEPS)
    said = "".join(piece.text for piece in pieces if not is_conclusion(piece.text))  # a chain ends at its first
    text = f"{said}\n{task.conclusion(problem, task.wrong_answer(problem))}"
    return make_chain(
        text,
        problem,
        task,
        finished=True,
        sampling=experiment.sampling,
        seed=0,
        tokens=0,
        most_steps=experiment.drafting.most_steps,
    )


def _costs(
    experiment: Experiment, candidates: Sequence[Candidate], student: Student | None, teacher: Fake
) -> tuple[tuple[Charge, ...], list[Request]]:
    costs: dict[int, Charge] = {}
    asked: list[Request] = []
    opened = teacher.open()

    def pay(requests: Iterator[Request | None], tell: Callable[[Request, Told], None]) -> None:
        for request in requests:
            if request is None:
                return
            asked.append(request)
            (reply,) = opened.ask([request])
            tell(request, reply)

    def go_on(prompts: list[Prompt]) -> list[Told]:
        silent = Generation(text="", finished=True, tokens=0)
        return list(student.generate(prompts, experiment.sampling)) if student else [silent for _ in prompts]

    def done(place: int, revision: Revision) -> None:
        costs[place] = revision.charge

    works = ((place, experiment.reviser(one, experiment.task)) for place, one in enumerate(candidates))
    drive(works, pay, go_on, done)
    return tuple(costs[place] for place in range(len(candidates))), asked


def _shared_start(requests: Sequence[Request]) -> float:
    texts: dict[str, list[bytes]] = {}
    for request in requests:
        whole = "\n".join(message.content for message in request.messages)
        texts.setdefault(request.purpose, []).append(whole.encode())
    total = sum(len(text) for group in texts.values() for text in group)
    lengths = {purpose: len(commonprefix(group)) for purpose, group in texts.items()}  # noqa: RUF071 - bytes are meant
    shared = sum(lengths[purpose] * (len(group) - 1) for purpose, group in texts.items())
    return shared / total if total else 0.0
