"""Score: how sure the student is of each step, as far as that can matter to what is picked."""

from array import array
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from heapq import nlargest
from itertools import compress
from math import ceil
from typing import Any, TypeAlias

from elad.errors import ConfigError
from elad.kinds import describe
from elad.ledger.events import Kind
from elad.outcomes import ParseOutcome
from elad.protocols import Gradual, Uncertainty
from elad.records import Candidate, Chain, Problem, StepScores, derive_seed, digest, from_json, to_json
from elad.stages.cold import is_cold
from elad.stages.drafting import Along, draft_key, to_pick
from elad.views import View
from elad.world import World

SCORE_CHUNK = 32

Drafted: TypeAlias = tuple[Problem, Chain]


def prefiltered(world: World, drafts: Sequence[Drafted], number: int, count: int) -> Sequence[Drafted]:
    """The drafts whose own tokens surprised the student most, in their order: `prefilter.keep` for each of `count`.

    All of them where nothing is to be spared. Ties fall to an order drawn by the seed. Of a cold round, what cannot be
    read comes after all that can, and by that order: how surprising it is says nothing of how it would be scored.
    Raises: ConfigError where a draft does not tell how surprising it was.
    """
    if world.experiment.prefilter.keep is None:
        return drafts
    most = ceil(world.experiment.prefilter.keep * to_pick(world, number, count))
    if len(drafts) <= most:
        return drafts
    cold = is_cold(world, number)

    def rank(place: int) -> tuple[bool, float, int, int]:
        problem, chain = drafts[place]
        read, surprise = not cold or chain.answer is not None, _surprise(chain)
        return read, surprise if read else 0.0, _lot(world, problem), place

    kept = sorted(place for *_, place in nlargest(most, map(rank, range(len(drafts)))))
    least = min(_surprise(drafts[place][1]) for place in kept)
    told = {"drafts": len(drafts), "kept": most, "least_surprise": least}
    if world.known(Kind.PREFILTER, digest([number, told]), number) is None:
        world.ledger.append(Kind.PREFILTER, [(digest([number, told]), told)], round=number)
    world.progress.note(f"round {number}: {len(drafts) - most} of {len(drafts)} drafts get no step scores (prefilter)")
    return View(kept, drafts.__getitem__)


def _surprise(chain: Chain) -> float:
    if chain.surprise is None:
        why = "written by an earlier version, or by an engine that does not tell"
        raise ConfigError(
            f"prefilter.keep: the draft of {chain.problem_id!r} carries no surprise ({why}); leave it out"
        )
    return chain.surprise


def _lot(world: World, problem: Problem) -> int:
    return derive_seed(world.experiment.seed, "prefilter", problem.id)


def along(world: World, number: int) -> Along | None:
    """Scores of drafts that the student has just written, where each of them is to be scored; else None."""
    experiment = world.experiment
    if not experiment.selector.needs_scores or experiment.prefilter.keep is not None:
        return None
    few, measure = experiment.adaptive.few, experiment.uncertainty
    first = measure.few(few) if few is not None and isinstance(measure, Gradual) else measure
    key, make = _score_key(world, first), _maker(world, first)

    def scored(drafts: Sequence[Drafted]) -> Iterator[tuple[Kind, str, Any]]:
        fitting = [draft for draft in drafts if draft[1].outcome is not ParseOutcome.TOO_LONG]
        for start in range(0, len(fitting), SCORE_CHUNK):
            part = fitting[start : start + SCORE_CHUNK]
            keys = [key(problem) for problem, _ in part]
            missing = {name for name in keys if world.known(Kind.SCORE, name, number) is None}
            if missing:
                made = zip(keys, make(part), strict=True)
                yield from ((Kind.SCORE, name, payload) for name, payload in made if name in missing)

    return scored


def score(world: World, drafts: Sequence[Drafted], number: int, count: int) -> Sequence[Candidate]:
    """Candidates for the selector, which picks `count`; their scores are left out where it needs none.

    What was scored `along` with drafting is read. With `adaptive.few`, chains that cannot be among the `count` highest
    keep the scores by few samples.
    Candidates are read when they are looked at, each time anew.
    """
    experiment, places = world.experiment, range(len(drafts))
    if not experiment.selector.needs_scores:
        return View(places, lambda place: _candidate(drafts[place], None))
    few, measure = experiment.adaptive.few, experiment.uncertainty
    if few is not None and isinstance(measure, Gradual):
        payloads = _gradually(world, measure, few, drafts, number, to_pick(world, number, count))
    else:
        payloads = _scored(world, measure, drafts, number)
    return View(places, lambda place: _candidate(drafts[place], from_json(StepScores, payloads[place])))


def _scored(world: World, measure: Uncertainty, drafts: Sequence[Drafted], number: int) -> Sequence[Any]:
    key, make = _score_key(world, measure), _maker(world, measure)
    return world.remembered(
        Kind.SCORE, drafts, lambda item: key(item[0]), make, number=number, chunk=SCORE_CHUNK, stage="score"
    )


def _maker(world: World, measure: Uncertainty) -> Callable[[Sequence[Drafted]], list[Any]]:
    """Gives the payloads of drafts' scores by the newest student."""
    return lambda drafts: [to_json(one) for one in measure(drafts, world.student, world.task, world.experiment.seed)]


def _gradually(
    world: World, measure: Gradual, few: int, drafts: Sequence[Drafted], number: int, count: int
) -> Sequence[Any]:
    """Scores by all samples of each chain that may be among the `count` highest, by a few of them for the others.

    No score can pass the highest that it may come to, so that the `count` highest are those of all samples. Of a cold
    round, what cannot be read has nothing to be drawn for, and counts as 0, as it does for the selector.
    """
    sketches = _scored(world, measure.few(few), drafts, number)
    cold = is_cold(world, number)
    last = bytearray(cold and chain.answer is None for _, chain in drafts)
    most = array("d", (measure.most(from_json(StepScores, one)) for one in sketches))
    for at in compress(range(len(most)), last):
        most[at] = 0.0
    whole: dict[int, Callable[[], Any]] = {}

    def make(places: Sequence[int]) -> list[Any]:
        chunk, begun = [drafts[at] for at in places], [from_json(StepScores, sketches[at]) for at in places]
        done = measure.complete(chunk, begun, world.student, world.task, world.experiment.seed)
        return [to_json(one) for one in done]

    key = _score_key(world, measure)
    while open_ := _unsure(most, count, whole):
        found = world.remembered(
            Kind.SCORE,
            open_,
            lambda at: key(drafts[at][0]),
            make,
            number=number,
            chunk=SCORE_CHUNK,
            stage="score",
        )
        for i, at in enumerate(open_):
            most[at] = 0.0 if last[at] else found[i]["aggregate"]
            whole[at] = partial(found.__getitem__, i)
    spared = f"{len(drafts) - len(whole)} of {len(drafts)} chains"
    world.progress.note(f"round {number}: {spared} were scored by {few} samples alone: more could not get them picked")
    return View(range(len(drafts)), lambda at: whole[at]() if at in whole else sketches[at])


def _unsure(most: Sequence[float], count: int, whole: Container[int]) -> list[int]:
    """The places that may be among the `count` highest, and are not scored by all samples."""
    bar = min(nlargest(count, most), default=0.0)
    return [at for at, highest in enumerate(most) if highest >= bar and at not in whole]


def _score_key(world: World, measure: Uncertainty) -> Callable[[Problem], str]:
    settings = describe(measure)
    return lambda problem: digest([draft_key(world, problem), settings])


def _candidate(drafted: Drafted, scores: StepScores | None) -> Candidate:
    problem, chain = drafted
    return Candidate(problem=problem, chain=chain, scores=scores)
