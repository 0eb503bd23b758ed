"""Cold: while most of what a student drafts has no answer that can be read, scores do not rank what cannot be.

ELAD pays for the repair of reasoning that the student is unsure of. The score of a text without an answer tells how
long it is (a refusal of one step scores 1, five steps without an end 0.6), and to repair one is to buy a whole
explanation. A student that has learnt the form writes few of them, and they are picked by their scores. Source: that a
first batch is drawn by lot is the custom in active learning [R]; when, and of what, is ours [D]. A score of something
else than the drafts (`Indirect`) stays what it is.
"""

from collections.abc import Sequence
from dataclasses import replace

from elad.ledger.events import Kind
from elad.protocols import Indirect
from elad.records import Candidate, StepScores, digest
from elad.views import View
from elad.world import World


def tell_if_cold(world: World, number: int, drafts: int, unread: int) -> None:
    """Has it in the ledger, and says, that more than half of a round's drafts have no answer that can be read."""
    if 2 * unread <= drafts:
        return
    told = {"drafts": drafts, "unread": unread}
    if world.known(Kind.COLD, digest([number, told]), number) is None:
        world.ledger.append(Kind.COLD, [(digest([number, told]), told)], round=number)
    last = "; they are picked last, by lot" if world.experiment.selector.needs_scores and _of_drafts(world) else ""
    world.progress.note(
        f"round {number}: {unread} of {drafts} drafts have no answer that can be read{last}; "
        "rows in data.warmup would teach the student how to conclude"
    )


def is_cold(world: World, number: int) -> bool:
    """Whether that was told of a round, and its scores are of the drafts."""
    return _of_drafts(world) and any(event.round == number for event in world.ledger.events(Kind.COLD))


def unread_last(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The candidates as a selector is to see them in a cold round: where there is no answer, the scores are 0.

    So they come after all that is in any way uncertain, and among themselves by whatever else the selector goes by, in
    the end by lot. What the ledger tells of them stays what was measured.
    """
    return View(range(len(candidates)), lambda place: _seen(candidates[place]))


def _of_drafts(world: World) -> bool:
    measure = world.experiment.uncertainty
    return not isinstance(measure, Indirect) or measure.of_drafts


def _seen(candidate: Candidate) -> Candidate:
    scores = candidate.scores
    if scores is None or candidate.chain.answer is not None:
        return candidate
    nothing = (0.0,) * len(scores.steps)
    parts = dict.fromkeys(scores.parts, nothing)
    return replace(candidate, scores=StepScores(parts=parts, steps=nothing, aggregate=0.0, confidence=0.0))
