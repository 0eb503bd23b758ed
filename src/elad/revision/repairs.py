"""Repairs of the first wrong step: written blind, or with the wrong step shown."""

from dataclasses import dataclass

from elad.outcomes import Purpose, RevisionOutcome
from elad.revision import texts
from elad.revision.case import Asking, Case, Draft, Ended, Finding, lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What takes the place of the first wrong step and of all that follows it."""

    edit: str
    rest: tuple[str, ...]
    """The teacher's steps after it, as far as they were bought."""

    @property
    def steps(self) -> tuple[str, ...]:
        return (self.edit, *self.rest)


def blind(case: Case, draft: Draft, index: int, finding: Finding) -> Asking[Repair]:
    """The step at `index` and the rest, by a teacher that never sees what the student wrote there.

    Raises: Ended when there is nothing usable in the reply.
    """
    given = [step.text for step in draft.chain.steps[:index]]
    way = finding.rest or (yield from case.ask_on(given))
    if not way:
        raise Ended(RevisionOutcome.UNREADABLE, "the continuation could not be read")
    return Repair(edit=way[0], rest=way[1:])


def shown(case: Case, draft: Draft, index: int, finding: Finding) -> Asking[Repair]:
    """The step at `index`, corrected by a teacher that sees it; the judge's own correction where it gave one.

    Raises: Ended when there is nothing usable in the reply.
    """
    said = texts.parts(texts.clean(finding.corrected, case.task.question(case.candidate.problem)))
    if not said:
        steps = [step.text for step in draft.chain.steps[: index + 1]]
        given, step = lines(steps[:-1]), steps[-1].strip()
        said = yield from case.ask_text(case.request(Purpose.REPAIR, steps, given=given, step=step), steps[:-1])
    if not said:
        raise Ended(RevisionOutcome.UNREADABLE, "the corrected step could not be read")
    return Repair(edit=said[0], rest=said[1:])
