"""Select and buy: which questions, and what the teacher makes of them. The only stage that spends."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from elad.kinds import describe
from elad.ledger.events import Kind
from elad.protocols import Ask, Generation, Prompt, Revising, Told
from elad.records import (
    Candidate,
    Charge,
    Reply,
    ReplyOutcome,
    Request,
    Revision,
    RevisionOutcome,
    derive_seed,
    digest,
    from_json,
    to_json,
)
from elad.stages.drafting import open_problems
from elad.world import World

CONTINUE_CHUNK = 64


def allowance(world: World, number: int) -> int:
    """How many questions the round may buy: the plan, the cap and the open pool allow."""
    if world.exhausted:
        return 0
    bought = sum(event.round < number for event in world.ledger.events(Kind.PICK))
    left = world.experiment.budget.questions_left(bought, world.experiment.rounds.questions)
    if not left:
        world.exhausted = f"budget reached: questions: {world.experiment.budget.questions}"
    return min(left, len(open_problems(world, number)))


def select(world: World, candidates: Sequence[Candidate], number: int, count: int) -> list[Candidate]:
    """The candidates that the selector picks; a resumed round keeps the picks it had."""
    by_id = {candidate.problem.id: candidate for candidate in candidates}
    kept = [event.payload for event in world.ledger.events(Kind.PICK) if event.round == number]
    if not kept:
        rng = Random(derive_seed(world.experiment.seed, "select", number))
        ids = world.experiment.selector(candidates, count, rng)
        kept = [
            {"problem_id": key, "rank": rank, "aggregate": scores.aggregate if scores else None}
            for rank, key in enumerate(ids)
            for scores in [by_id[key].scores]
        ]
        events = [(digest([number, pick["problem_id"]]), pick) for pick in kept]
        world.ledger.append(Kind.PICK, events, round=number)
    return [by_id[pick["problem_id"]] for pick in kept]


def buy(world: World, picks: Sequence[Candidate], number: int) -> list[Revision]:
    """A revision of each pick, in waves: every open revision asks, all are answered, all go on.

    A revision that the budget ended is returned but not written down: it is taken up again when the
    run is resumed under a larger cap.
    """
    desks = [_Desk(candidate, world) for candidate in picks]
    with world.stage(number, "revise", len(picks)) as advance:
        advance(_file(world, desks, number))
        while waiting := [desk for desk in desks if desk.revision is None]:
            told = _answers(world, [ask for desk in waiting for ask in desk.asks], number)
            for desk in waiting:
                desk.go_on([told[_key(world, ask)] for ask in desk.asks])
            advance(_file(world, waiting, number))
    return [desk.revision for desk in desks if desk.revision]


@dataclass
class _Desk:
    """One revision under way."""

    candidate: Candidate
    world: World
    key: str = field(init=False)
    work: Revising = field(init=False)
    asks: tuple[Ask, ...] = ()
    revision: Revision | None = None
    filed: bool = False

    def __post_init__(self) -> None:
        chain, reviser = self.candidate.chain, self.world.experiment.reviser
        self.key = digest([to_json(self.candidate.problem), chain.text, describe(reviser), self.world.teacher.id])
        known = self.world.ledger.get(Kind.REVISION, self.key)
        if known is not None:
            self.revision, self.filed = from_json(Revision, known), True
            return
        self.work = reviser(self.candidate, self.world.task)
        self._step(None)

    def go_on(self, told: Sequence[Told]) -> None:
        """Hands over the answers and takes the next asks, or the revision."""
        self._step(tuple(told))

    def _step(self, told: tuple[Told, ...] | None) -> None:
        try:
            self.asks = self.work.send(told) if told is not None else next(self.work)
        except StopIteration as end:
            self.asks, self.revision = (), end.value


def _file(world: World, desks: Iterable[_Desk], number: int) -> int:
    """Writes down what has just been finished; gives how many that are."""
    finished = [desk for desk in desks if desk.revision and not desk.filed]
    for desk in finished:
        desk.filed = True
        if desk.revision and desk.revision.outcome is not RevisionOutcome.BUDGET:
            world.ledger.append(Kind.REVISION, [(desk.key, to_json(desk.revision))], round=number)
    return len(finished)


def _key(world: World, ask: Ask) -> str:
    if isinstance(ask, Request):
        return digest([world.teacher.id, ask.key])
    return digest([world.student.id, [to_json(m) for m in ask.messages], ask.prefix, ask.seed, to_json(world.sampling)])


def _answers(world: World, asks: Sequence[Ask], number: int) -> dict[str, Told]:
    """An answer for each ask, by key: from the ledger, from the student, or paid for."""
    told: dict[str, Told] = {}
    requests: dict[str, Request] = {}
    for ask in asks:
        key = _key(world, ask)
        if not isinstance(ask, Request):
            continue
        known = world.ledger.get(Kind.REPLY, key)
        if known is not None:
            told[key] = from_json(Reply, known)
        else:
            requests[key] = ask
    told |= _continuations(world, [ask for ask in asks if isinstance(ask, Prompt)], number)
    return told | _pay(world, requests, number)


def _continuations(world: World, prompts: Sequence[Prompt], number: int) -> dict[str, Told]:
    if not prompts:
        return {}
    payloads = world.remembered(
        Kind.CONTINUATION,
        prompts,
        lambda prompt: _key(world, prompt),
        lambda chunk: [to_json(generation) for generation in world.student.generate(chunk, world.sampling)],
        number=number,
        chunk=CONTINUE_CHUNK,
        stage="continue",
    )
    keys = [_key(world, prompt) for prompt in prompts]
    return {key: from_json(Generation, payload) for key, payload in zip(keys, payloads, strict=True)}


def _pay(world: World, requests: dict[str, Request], number: int) -> dict[str, Told]:
    """Replies to requests that were never answered; those the budget will not bear stay unsent."""
    told: dict[str, Told] = {}
    names = {request.key: key for key, request in requests.items()}
    spent, in_flight = world.ledger.spent(), dict[str, Charge]()

    def admitted() -> Iterator[Request]:
        for key, request in requests.items():
            tokens_in, tokens_out, money = world.teacher.worst_case(request)
            worst = Charge(calls=1, tokens_in=tokens_in, tokens_out=tokens_out, money=money)
            reserved = sum(in_flight.values(), Charge())
            refusal = world.experiment.budget.refusal(spent, reserved, worst, world.ledger.elapsed_seconds())
            if refusal:
                world.exhausted = f"budget reached: {refusal}"
                told[key] = Reply(
                    request=request.key,
                    text="",
                    outcome=ReplyOutcome.BUDGET,
                    charge=Charge(),
                    teacher=world.teacher.id,
                    reason=world.exhausted,
                )
                continue
            if not world.ledger.has(Kind.REQUEST, key):
                world.ledger.append(Kind.REQUEST, [(key, to_json(request))], round=number)
            in_flight[key] = worst
            yield request

    for reply in world.teacher.ask(admitted()):
        key = names[reply.request]
        world.ledger.append(Kind.REPLY, [(key, to_json(reply))], round=number)
        in_flight.pop(key)
        spent = spent + reply.charge
        told[key] = reply
    return told
