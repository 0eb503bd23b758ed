"""Select and buy: which questions, and what the teacher makes of them. The only stage that spends."""

import time
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from elad.errors import TeacherError
from elad.kinds import describe
from elad.ledger.events import Kind
from elad.protocols import Ask, Generation, Prompt, Told
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
from elad.revision.driving import drive
from elad.stages.drafting import open_problems
from elad.world import World

CONTINUE_CHUNK = 64
GIVE_UP_AFTER = 5
"""Requests that fail in a row: then the teacher is taken to be out of reach."""


def allowance(world: World, number: int) -> int:
    """How many questions the round may buy: the plan, the cap and the open pool allow."""
    seconds = world.experiment.budget.seconds
    if seconds is not None and world.ledger.elapsed_seconds() >= seconds:
        world.exhausted = f"budget reached: seconds: {seconds:g}"
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
        kept = [_pick(by_id[key], rank) for rank, key in enumerate(ids)]
        events = [(digest([number, pick["problem_id"]]), pick) for pick in kept]
        world.ledger.append(Kind.PICK, events, round=number)
    return [by_id[pick["problem_id"]] for pick in kept]


def buy(world: World, picks: Sequence[Candidate], number: int) -> list[Revision]:
    """A revision of each pick, in the order of the picks.

    A revision that the budget ended is returned but not written down: it is taken up again when the
    run is resumed under a larger cap.
    """
    keys = [_revision_key(world, candidate) for candidate in picks]
    known = {key: world.ledger.get(Kind.REVISION, key) for key in keys}
    done = {key: from_json(Revision, payload) for key, payload in known.items() if payload is not None}
    works = {
        key: world.experiment.reviser(candidate, world.task)
        for key, candidate in zip(keys, picks, strict=True)
        if key not in done
    }
    with world.stage(number, "revise", len(picks)) as advance:
        advance(len(done))
        for key, revision in drive(works, lambda asks: _answers(world, asks, number)):
            done[key] = revision
            if revision.outcome is not RevisionOutcome.BUDGET:
                world.ledger.append(Kind.REVISION, [(key, to_json(revision))], round=number)
            advance(1)
    return [done[key] for key in keys]


def _revision_key(world: World, candidate: Candidate) -> str:
    reviser = describe(world.experiment.reviser)
    return digest([to_json(candidate.problem), candidate.chain.text, reviser, world.teacher.id])


def _pick(candidate: Candidate, rank: int) -> dict[str, Any]:
    """The event of a pick; it carries the question, so that a ledger can be read without its data."""
    return {
        "problem_id": candidate.problem.id,
        "rank": rank,
        "aggregate": candidate.scores.aggregate if candidate.scores else None,
        "problem": to_json(candidate.problem),
    }


def _key(world: World, ask: Ask) -> str:
    if isinstance(ask, Request):
        return digest([world.teacher.id, ask.key])
    return digest([world.student.id, [to_json(m) for m in ask.messages], ask.prefix, ask.seed, to_json(world.sampling)])


def _answers(world: World, asks: Sequence[Ask], number: int) -> list[Told]:
    """An answer for each ask: from the ledger, from the student, or paid for."""
    keys = [_key(world, ask) for ask in asks]
    told: dict[str, Told] = {}
    unpaid: dict[str, Request] = {}
    for key, ask in zip(keys, asks, strict=True):
        if isinstance(ask, Request):
            known = world.ledger.get(Kind.REPLY, key)
            if known is None:
                unpaid[key] = ask
            else:
                told[key] = from_json(Reply, known)
    told |= _continuations(world, [ask for ask in asks if isinstance(ask, Prompt)], number)
    told |= _pay(world, unpaid, number)
    return [told[key] for key in keys]


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
    """Replies to requests that were never answered; those the budget will not bear stay unsent.

    A failure is final for its request once another request was answered, or when the wave ends.
    Raises: TeacherError when requests fail one after the other; those may be asked again on resume.
    """
    told: dict[str, Told] = {}
    names = {request.key: key for key, request in requests.items()}
    spent, in_flight = world.ledger.spent(), dict[str, Charge]()
    began = time.monotonic() - world.ledger.elapsed_seconds()

    def admitted() -> Iterator[Request]:
        for key, request in requests.items():
            tokens_in, tokens_out, money = world.teacher.worst_case(request)
            worst = Charge(calls=1, tokens_in=tokens_in, tokens_out=tokens_out, money=money)
            reserved = sum(in_flight.values(), Charge())
            refusal = world.experiment.budget.refusal(spent, reserved, worst, time.monotonic() - began)
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

    failed: dict[str, Reply] = {}
    for reply in world.teacher.ask(admitted()):
        key = names[reply.request]
        in_flight.pop(key)
        spent = spent + reply.charge
        told[key] = reply
        if reply.outcome is ReplyOutcome.FAILED:
            failed[key] = reply
            if len(failed) == GIVE_UP_AFTER:
                raise TeacherError(f"{world.teacher.id}: {GIVE_UP_AFTER} requests in a row failed: {reply.reason}")
            continue
        _write_down(world, failed | {key: reply}, number)
        failed.clear()
    _write_down(world, failed, number)
    return told


def _write_down(world: World, replies: Mapping[str, Reply], number: int) -> None:
    world.ledger.append(Kind.REPLY, [(key, to_json(reply)) for key, reply in replies.items()], round=number)
