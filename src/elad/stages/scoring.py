"""Score: how sure the student is of each step, as far as that can matter to what is picked."""

from collections.abc import Callable, Sequence
from heapq import nlargest
from math import ceil
from typing import Any, TypeAlias

from elad.errors import ConfigError
from elad.kinds import describe
from elad.ledger.events import Kind
from elad.protocols import Uncertainty
from elad.records import Candidate, Chain, Problem, StepScores, derive_seed, digest, from_json, to_json
from elad.stages.drafting import draft_key
from elad.views import View
from elad.world import World

SCORE_CHUNK = 32

Drafted: TypeAlias = tuple[Problem, Chain]


def prefiltered(world: World, drafts: Sequence[Drafted], number: int, count: int) -> Sequence[Drafted]:
    """The drafts whose own tokens surprised the student most, in their order: `prefilter.keep` for each of `count`.

    All of them where nothing is to be spared. Ties fall to an order drawn by the seed.
    Raises: ConfigError where a draft does not tell how surprising it was.
    """
    if world.experiment.prefilter.keep is None:
        return drafts
    most = ceil(world.experiment.prefilter.keep * _to_pick(world, number, count))
    if len(drafts) <= most:
        return drafts
    ranks = ((_surprise(chain), _lot(world, problem), place) for place, (problem, chain) in enumerate(drafts))
    kept = nlargest(most, ranks)
    told = {"drafts": len(drafts), "kept": most, "least_surprise": kept[-1][0]}
    if world.known(Kind.PREFILTER, digest([number, told]), number) is None:
        world.ledger.append(Kind.PREFILTER, [(digest([number, told]), told)], round=number)
    world.progress.note(f"round {number}: {len(drafts) - most} of {len(drafts)} drafts get no step scores (prefilter)")
    return View(sorted(place for _, _, place in kept), drafts.__getitem__)


def _to_pick(world: World, number: int, count: int) -> int:
    """How many are picked: a resumed round keeps its picks, so that they must be among what is kept."""
    return sum(event.round == number for event in world.ledger.events(Kind.PICK)) or count


def _surprise(chain: Chain) -> float:
    if chain.surprise is None:
        why = "written by an earlier version, or by an engine that does not tell"
        raise ConfigError(
            f"prefilter.keep: the draft of {chain.problem_id!r} carries no surprise ({why}); leave it out"
        )
    return chain.surprise


def _lot(world: World, problem: Problem) -> int:
    return derive_seed(world.experiment.seed, "prefilter", problem.id)


def score(world: World, drafts: Sequence[Drafted], number: int) -> Sequence[Candidate]:
    """Candidates for the selector; their scores are left out where it needs none.

    Candidates are read when they are looked at, each time anew.
    """
    experiment, places = world.experiment, range(len(drafts))
    if not experiment.selector.needs_scores:
        return View(places, lambda place: _candidate(drafts[place], None))
    payloads = _scored(world, experiment.uncertainty, drafts, number)
    return View(places, lambda place: _candidate(drafts[place], from_json(StepScores, payloads[place])))


def _scored(world: World, measure: Uncertainty, drafts: Sequence[Drafted], number: int) -> Sequence[Any]:
    def make(chunk: Sequence[Drafted]) -> list[Any]:
        return [to_json(one) for one in measure(chunk, world.student, world.task, world.experiment.seed)]

    key = _score_key(world, measure)
    return world.remembered(
        Kind.SCORE, drafts, lambda item: key(item[0]), make, number=number, chunk=SCORE_CHUNK, stage="score"
    )


def _score_key(world: World, measure: Uncertainty) -> Callable[[Problem], str]:
    settings = describe(measure)
    return lambda problem: digest([draft_key(world, problem), settings])


def _candidate(drafted: Drafted, scores: StepScores | None) -> Candidate:
    problem, chain = drafted
    return Candidate(problem=problem, chain=chain, scores=scores)
