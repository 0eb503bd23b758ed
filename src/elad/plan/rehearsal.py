"""What single questions cost: rehearsed without a teacher, or seen in earlier runs.

A rehearsal sends the reviser's own requests, on chains of the student, to the scripted teacher, which costs
nothing: once with a teacher that does everything right, once with one that mostly does not. So the
number of calls and every byte of the prompts are those of the run; only the length of the replies is guessed, and
the tokens a byte where there is no tokenizer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import commonprefix
from pathlib import Path

from elad.experiment import Experiment
from elad.ledger.events import Kind, Ledger
from elad.protocols import Consult, Contrasting, Generation, Student, Task, Told, Weighing
from elad.records import Candidate, Chain, Charge, Problem, Reply, Request, Revision, from_json
from elad.revision.driving import drive
from elad.stages.consulting import told_by
from elad.stages.drafting import chains
from elad.steps import is_conclusion, split
from elad.tasks.chains import make_chain
from elad.teachers.counting import TokenCounter
from elad.teachers.fake import Fake, Fault

_MOST_STEPS = 1000
_CLUMSY = {Fault.WRONG_END: 0.4, Fault.GARBAGE: 0.2}


LEAST_CACHED_TOKENS = 1024
"""Some endpoints, OpenAI's among them, keep no start of a prompt that is shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Shares of the prompts' bytes, 0..1."""

    all: float
    """What stands at the start of all prompts of its kind."""
    long: float
    """The part of it in starts of at least `LEAST_CACHED_TOKENS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Costs of the same questions with a teacher that does well and with one that does not."""

    good: tuple[Charge, ...]
    clumsy: tuple[Charge, ...]
    shared: Shared
    drafted: int
    """How many chains are the student's own; the others are made up from the reference."""


def rehearse(
    experiment: Experiment, problems: Sequence[Problem], student: Student | None, counter: TokenCounter | None = None
) -> Rehearsal:
    """Revises each problem without a teacher. Tokens are counted, or without a counter estimated by bytes; no money."""
    answered = [replace(problem, answer=_answer(experiment.task, problem)) for problem in problems]
    drafts = chains(experiment, student, answered) if student else [_made_up(experiment, one) for one in answered]
    candidates = [
        Candidate(problem=problem, chain=chain, scores=None) for problem, chain in zip(answered, drafts, strict=True)
    ]
    good, asked = _costs(experiment, candidates, student, _Scripted(Fake(), counter))
    clumsy, _ = _costs(experiment, candidates, student, _Scripted(Fake(faults=_CLUMSY), counter))
    drafted = len(problems) if student else 0
    tokens = sum(charge.tokens_in for charge in good)
    return Rehearsal(good=good, clumsy=clumsy, shared=_shared_start(asked, tokens), drafted=drafted)


def seen(folders: Sequence[Path], experiment: Experiment) -> list[Charge]:
    """What each finished revision cost in earlier runs with the same reviser and the same model.

    What was lost on the way to its replies is in it. Revisions that rest on replies out of the cache cost less than
    they would now, and are left out.
    """
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
                costs += _paid(ledger)
    return costs


def _paid(ledger: Ledger) -> Iterator[Charge]:
    replies = {event.key: from_json(Reply, event.payload) for event in ledger.events(Kind.REPLY)}
    cached = {reply.request for reply in replies.values() if reply.cached}
    lost: dict[str, Charge] = {}
    for event in ledger.events(Kind.LOST):
        reply = replies.get(event.key.partition("#")[0])
        if reply:
            lost[reply.request] = lost.get(reply.request, Charge()) + from_json(Reply, event.payload).charge
    for event in ledger.events(Kind.REVISION):
        revision = from_json(Revision, event.payload)
        if cached.isdisjoint(revision.requests):
            yield sum((lost[name] for name in revision.requests if name in lost), revision.charge)


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


class _Scripted:
    """The scripted teacher, its replies counted by a tokenizer where there is one."""

    def __init__(self, teacher: Fake, counter: TokenCounter | None) -> None:
        self._teacher = teacher.open()
        self._counter = counter

    def reply(self, request: Request) -> Reply:
        (reply,) = self._teacher.ask([request])
        if self._counter is None:
            return reply
        tokens_in, tokens_out = self._counter.tokens_in(request), self._counter.tokens_out(reply.text)
        return replace(reply, charge=replace(reply.charge, tokens_in=tokens_in, tokens_out=tokens_out))


def _costs(
    experiment: Experiment, candidates: Sequence[Candidate], student: Student | None, teacher: _Scripted
) -> tuple[tuple[Charge, ...], list[Request]]:
    costs: dict[int, Charge] = {}
    asked: list[Request] = []

    def pay(requests: Iterator[Request | None], tell: Callable[[Request, Told], None]) -> None:
        for request in requests:
            if request is None:
                return
            asked.append(request)
            tell(request, teacher.reply(request))

    def consult(asks: list[Consult]) -> list[Told]:
        return told_by(student, asks, experiment.sampling) if student else [_silence(ask) for ask in asks]

    def done(place: int, revision: Revision) -> None:
        costs[place] = revision.charge

    works = ((place, experiment.reviser(one, experiment.task)) for place, one in enumerate(candidates))
    drive(works, pay, consult, done)
    return tuple(costs[place] for place in range(len(candidates))), asked


def _silence(ask: Consult) -> Told:
    """What nobody says."""
    if isinstance(ask, Contrasting):
        return ()
    return ((),) * len(ask.options) if isinstance(ask, Weighing) else Generation(text="", finished=True, tokens=0)


def _shared_start(requests: Sequence[Request], tokens: int) -> Shared:
    """`tokens` is how many all of the requests have together."""
    texts: dict[str, list[bytes]] = {}
    for request in requests:
        whole = "\n".join(message.content for message in request.messages)
        texts.setdefault(request.purpose, []).append(whole.encode())
    total = sum(len(text) for group in texts.values() for text in group)
    if not total:
        return Shared(all=0.0, long=0.0)
    lengths = {purpose: len(commonprefix(group)) for purpose, group in texts.items()}  # noqa: RUF071 - bytes are meant
    repeated = {purpose: lengths[purpose] * (len(group) - 1) for purpose, group in texts.items()}
    long = sum(n for purpose, n in repeated.items() if lengths[purpose] * tokens / total >= LEAST_CACHED_TOKENS)
    return Shared(all=sum(repeated.values()) / total, long=long / total)
