"""Stop: whether a further round is begun, by the rule of `stopping`."""

from elad.courses import Course
from elad.ledger.course import measured
from elad.ledger.events import Kind
from elad.stages.drafting import draft
from elad.stages.scoring import along, prefiltered, score
from elad.world import World


def enough(world: World, number: int, count: int) -> bool:
    """Whether the round, which may buy `count` questions, is not begun; then all arms are told why they buy no more.

    Asked of the main arm alone: a control stops with it. What the rule sees is in the ledger, so that a resumed run
    stops where it would have. A round in which anything was picked is gone on with: the rule may be another by now.
    """
    rule = world.experiment.stopping
    if rule is None or world.by_lot:
        return False
    if any(event.round == number for event in world.ledger.of(None).events(Kind.PICK)):
        return False
    left = _left(world, number, count) if rule.needs_scores else None
    ruling = rule(Course(rounds=measured(world.ledger), left=left))
    if ruling.stop:
        for arm in world.arms:
            arm.exhausted = arm.exhausted or f"stopped early: {ruling.why}"
    else:
        world.progress.note(f"round {number} is begun: {ruling.why}")
    return ruling.stop


def _left(world: World, number: int, count: int) -> list[float]:
    """The scores by which the round would pick; if it is begun, it finds them in the ledger."""
    drafts = prefiltered(world, draft(world, number, count, along(world, number)), number, count)
    return [one.scores.aggregate for one in score(world, drafts, number, count) if one.scores]
