"""Select and buy: which questions, and what the teacher makes of them. The only stage that spends."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from elad.interrupt import Stopped, impatient
from elad.kinds import describe
from elad.ledger.account import WARN_AT
from elad.ledger.events import Kind
from elad.outcomes import RevisionOutcome
from elad.protocols import Several
from elad.records import Candidate, Revision, derive_seed, digest, to_json
from elad.revision.driving import drive
from elad.stages.cold import is_cold, unread_last
from elad.stages.consulting import consulted
from elad.stages.drafting import open_problems
from elad.stages.embedding import embed
from elad.stages.experience import experienced
from elad.views import View
from elad.world import World


def allowance(world: World, number: int) -> int:
    """How many questions the round may buy: the plan, the cap and the open pool allow; the world is told why none."""
    if world.exhausted:
        return 0
    bought = sum(event.round < number for event in world.ledger.events(Kind.PICK))
    left = world.experiment.budget.questions_left(bought, world.experiment.rounds.questions)
    if not any(event.round == number for event in world.ledger.events(Kind.PICK)):
        _tell_of_questions(world, bought, left)
    if not left:
        world.exhausted = f"budget reached: questions: {world.experiment.budget.questions}"
        return 0
    unasked = len(open_problems(world, number))
    if not unasked:
        world.exhausted = "no question of the pool is left"
    return min(left, unasked)


def _tell_of_questions(world: World, bought: int, more: int) -> None:
    """Warns where this round passes a mark of the cap on questions, as the account does of the other caps."""
    cap = world.experiment.budget.questions
    passed = [mark for mark in WARN_AT if cap and bought < mark * cap <= bought + more]
    if cap and passed:
        world.progress.note(f"budget: with this round {(bought + more) / cap:.0%} of questions used")


def select(world: World, candidates: Sequence[Candidate], number: int, count: int) -> Sequence[Candidate]:
    """The candidates that the selector picks; a resumed round keeps the picks it had."""
    ids = [event.payload["problem_id"] for event in world.ledger.events(Kind.PICK) if event.round == number]
    resumed = bool(ids)
    by: Mapping[str, str | None] = {}
    if not resumed:
        rng = Random(derive_seed(world.experiment.seed, "select", number))
        selector, open_ = experienced(world, number), embed(world, candidates, number)
        open_ = unread_last(open_) if is_cold(world, number) else open_
        several = isinstance(selector, Several)
        by = selector.picks(open_, count, rng) if several else dict.fromkeys(selector(open_, count, rng))
        ids = list(by)
    wanted = set(ids)
    named = ((candidate.problem.id, place) for place, candidate in enumerate(candidates))
    places = {key: place for key, place in named if key in wanted}
    picks = View([places[key] for key in ids], candidates.__getitem__)
    if not resumed:
        events = ((digest([number, pick.problem.id]), _pick(pick, rank, by)) for rank, pick in enumerate(picks))
        world.ledger.append(Kind.PICK, events, round=number)
    return picks


def buy(world: World, picks: Sequence[Candidate], number: int) -> None:
    """Has a revision of each pick in the ledger, as far as the budget bears it.

    A revision that the budget ended is not written down: it is taken up again when the run is resumed under a
    larger cap. Raises: OutOfTime where the cap on seconds leaves some without an end; what is in flight is waited
    for, a batch is left for the next session.
    """
    keys = [_revision_key(world, candidate) for candidate in picks]
    left = {key for key in keys if not world.ledger.has(Kind.REVISION, key)}
    works = (
        (key, world.experiment.reviser(candidate, world.task))
        for key, candidate in zip(keys, picks, strict=True)
        if key in left
    )
    refused: list[str] = []
    with world.stage(number, "revise", len(picks)) as advance:
        advance(len(picks) - len(left))

        def write_down(key: str, revision: Revision) -> None:
            if revision.outcome is RevisionOutcome.BUDGET:
                refused.append(revision.reason)
            else:
                world.ledger.append(Kind.REVISION, [(key, to_json(revision))], round=number)
                left.discard(key)
            advance(1)

        purchase = world.purchase(number)
        try:
            with impatient(lambda: world.out_of_time):
                drive(works, purchase.pay, lambda asks: consulted(world, asks, number), write_down)
        except Stopped:
            world.check_time()
            raise
        world.exhausted = world.exhausted or purchase.refusal or next(iter(refused), None)
        if left:
            world.check_time()


def _revision_key(world: World, candidate: Candidate) -> str:
    reviser = describe(world.experiment.reviser)
    return digest([to_json(candidate.problem), candidate.chain.text, reviser, world.teacher.id])


def _pick(candidate: Candidate, rank: int, by: Mapping[str, str | None]) -> dict[str, Any]:
    """The event of a pick; it carries the question, so that a ledger can be read without its data."""
    return {
        "problem_id": candidate.problem.id,
        "rank": rank,
        "aggregate": candidate.scores.aggregate if candidate.scores else None,
        "parts": dict(candidate.scores.parts) if candidate.scores else {},
        "by": by[candidate.problem.id],
        "problem": to_json(candidate.problem),
    }
