"""A reviewer's decision: checked, appended, and told again as it stands."""

from collections.abc import Mapping
from dataclasses import dataclass

from elad.errors import EladError
from elad.ledger.people import Review, last_standing, write_review
from elad.outcomes import Decision, ParseOutcome
from elad.protocols import Task
from elad.web.desk import Desk
from elad.web.sheet import Repair, Sheet

MOST_CHARACTERS = 20_000
"""Of a chain that a reviewer writes."""
UNWRITABLE = "Nothing was saved: the ledger cannot be written now (in use, or no room on the disk). Try again."
"""Without the error's own words, which name a path of the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a page tells of a decision that was asked for."""

    good: bool
    message: str


def decide(desk: Desk, sheet: Sheet, repair: Repair, fields: Mapping[str, str], reviewer: str) -> Said:
    """Appends the decision of a form, unless it cannot be, or was made on a state that is no longer the newest."""
    try:
        decision, seen = Decision(fields.get("decision", "")), int(fields.get("seen", ""))
    except ValueError:
        return Said(good=False, message="Nothing was saved: this form is not one of this page.")
    after = fields.get("after", "").replace("\r\n", "\n").strip() if decision is Decision.EDIT else None
    if why := _fault(decision, after, sheet, repair, desk.task):
        return Said(good=False, message=f"Nothing was saved: {why}")
    review = Review(revision=repair.key, problem_id=sheet.row.id, decision=decision, reviewer=reviewer, after=after)
    try:
        newest = seen == len(repair.reviews) and write_review(desk.folder, review, seen=seen, number=repair.round)
    except EladError:
        return Said(good=False, message=UNWRITABLE)
    if not newest:
        return Said(good=False, message="Nothing was saved: someone else was quicker. This is the newest state.")
    return Said(good=True, message=_TOLD[decision])


_TOLD: Mapping[Decision, str] = {
    Decision.ACCEPT: "Accepted.",
    Decision.REJECT: "Rejected: later rounds do not learn from it.",
    Decision.EDIT: "Saved: later rounds learn from it as edited.",
    Decision.UNDO: "Undone.",
}


def _fault(decision: Decision, after: str | None, sheet: Sheet, repair: Repair, task: Task) -> str | None:
    """Why a decision cannot be saved, in words."""
    if decision is Decision.UNDO:
        return None if last_standing(review for _, review in repair.reviews) else "there is nothing to undo."
    if decision is not Decision.EDIT:
        return None
    if not after:
        return "the chain is empty."
    if len(after) > MOST_CHARACTERS:
        return f"the chain has more than {MOST_CHARACTERS:,} characters."
    if sheet.problem and task.parse(after, sheet.problem).outcome is not ParseOutcome.PARSED:
        return "the chain must end in a conclusion that can be read, as in “The answer is 7.”"
    return None
