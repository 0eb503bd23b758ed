"""The story: a student drafts, is scored, the worst is repaired, the student learns and is measured.

    pool --draft--> chains --score--> candidates --select--> picks --revise--> revisions --train--> student
            student        uncertainty          selector         teacher              objective

Every stage asks the ledger before it works, so running the same experiment in the same folder again
is how a run is resumed, and nothing that was paid for is paid for twice.
"""

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
from elad.stages.scoring import prefiltered, score
from elad.world import OutOfTime, World


def run(
    experiment: Experiment,
    folder: str | Path | None = None,
    progress: Progress | None = None,
    recalled: Ledger | None = None,
) -> list[Round]:
    """All rounds of the experiment; round 0 is the student before anything was bought.

    The ledger and the students are kept in `folder`, `runs/NAME` by default. Reaching a cap of the budget, or the
    end of the pool, is a normal end; a round that the cap on seconds cut short is not among them. Work that a
    `recalled` ledger holds is taken from there. Raises: the errors of `elad.errors`; nothing is lost on any of them.
    """
    rounds: list[Round] = []
    home = Path(folder or Path("runs") / experiment.name)
    with World.open(experiment, home, progress, recalled) as world, suppress(OutOfTime):
        rounds.append(baseline(world))
        for number in range(1, experiment.rounds.count + 1):
            count = allowance(world, number)
            if not count:
                break
            rounds.append(turn(world, number, count))
    return rounds


def baseline(world: World) -> Round:
    """Round 0: the student as it came, or after the warm-up on its format."""
    world.student = learn(world, 0)
    return evaluate(world, 0)


def turn(world: World, number: int, count: int) -> Round:
    """One round: buy at most `count` questions, learn from all that was bought, be measured."""
    drafts = prefiltered(world, draft(world, number), number, count)
    candidates = score(world, drafts, number, count)
    picks = select(world, candidates, number, count)
    buy(world, picks, number)  # the only line that spends
    calibrate(world, picks, number)
    world.student = learn(world, number)
    return evaluate(world, number)
