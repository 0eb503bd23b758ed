"""The story: a student drafts, is scored, the worst is repaired, the student learns and is measured.

    pool --draft--> chains --score--> candidates --select--> picks --revise--> revisions --train--> student
            student        uncertainty          selector         teacher              objective

Every stage asks the ledger before it works, so running the same experiment in the same folder again
is how a run is resumed, and nothing that was paid for is paid for twice.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from elad.experiment import Experiment
from elad.ledger.events import Ledger
from elad.progress import Progress
from elad.records import Round
from elad.stages.buying import allowance, buy, select
from elad.stages.calibrating import calibrate
from elad.stages.drafting import draft
from elad.stages.learning import evaluate, learn
from elad.stages.scoring import along, prefiltered, score
from elad.stages.stopping import enough
from elad.world import OutOfTime, World


def run(
    experiment: Experiment,
    folder: str | Path | None = None,
    progress: Progress | None = None,
    recalled: Sequence[Ledger] = (),
    *,
    as_bought: bool = False,
) -> list[Round]:
    """All rounds of the main arm; round 0 is the student before anything was bought.

    A control arm takes its turn after the main one in each round. The ledger and the students are kept in `folder`,
    `runs/NAME` by default. Reaching a cap of the budget, the end of the pool, or what `stopping` takes for enough, is a
    normal end; a round that the cap on seconds cut short is not among them. Work that one of the `recalled` ledgers
    holds is taken from there. With `as_bought`, replies of the user's cache count towards the caps as what they cost
    when they were bought. Raises: the errors of `elad.errors`; nothing is lost on any of them.
    """
    home = Path(folder or Path("runs") / experiment.name)
    with World.open(experiment, home, progress, recalled, as_bought=as_bought) as main, suppress(OutOfTime):
        for arm in main.arms:
            arm.rounds.append(baseline(arm))
        for number in range(1, experiment.rounds.count + 1):
            for arm in main.arms:
                count = allowance(arm, number)
                if count and not enough(arm, number, count):
                    arm.rounds.append(turn(arm, number, count))
    return main.rounds


def baseline(world: World) -> Round:
    """Round 0: the student as it came, or after the warm-up on its format."""
    world.student = learn(world, 0)
    return evaluate(world, 0)


def turn(world: World, number: int, count: int) -> Round:
    """One round: buy at most `count` questions, learn from all that was bought, be measured."""
    drafts = prefiltered(world, draft(world, number, count, along(world, number)), number, count)
    candidates = score(world, drafts, number, count)
    picks = select(world, candidates, number, count)
    buy(world, picks, number)  # the only line that spends
    calibrate(world, picks, number)
    world.student = learn(world, number)
    return evaluate(world, number)
