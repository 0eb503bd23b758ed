"""Calibrate: what the teacher's verdicts of a round say of the scores that its questions were picked by."""

from collections.abc import Sequence

from elad.evaluation.calibration import calibration
from elad.ledger.events import Kind
from elad.records import Candidate, Revision, digest, from_json, to_json
from elad.world import World


def calibrate(world: World, picks: Sequence[Candidate], number: int) -> None:
    """Has the calibration of a round in the ledger, from the revisions that are there; a later one goes before."""
    picked = {candidate.problem.id: candidate for candidate in picks}
    revisions = [
        from_json(Revision, event.payload) for event in world.ledger.events(Kind.REVISION) if event.round == number
    ]
    revisions.sort(key=lambda revision: revision.problem_id)  # money is a sum of floats: not in order of arrival
    told = to_json(calibration([(picked[revision.problem_id], revision) for revision in revisions]))
    told["unneeded_charge"].pop("seconds")  # differs from run to run
    key = digest([number, told])
    if not world.ledger.has(Kind.CALIBRATION, key):
        world.ledger.append(Kind.CALIBRATION, [(key, told)], round=number)
