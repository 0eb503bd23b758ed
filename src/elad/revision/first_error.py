"""Finds the first wrong step of the student's chain and has it repaired."""

from dataclasses import dataclass, replace
from typing import Literal

from elad.errors import require
from elad.outcomes import ParseOutcome, Purpose, RevisionOutcome
from elad.protocols import Revising, Task
from elad.records import Candidate, Revision
from elad.revision import texts
from elad.revision.case import Asking, Case, Draft, Ended, Finding
from elad.revision.judges import Judge
from elad.revision.judges.compare import Compare
from elad.revision.judges.direct import Direct
from elad.revision.judges.rollout import Rollout
from elad.revision.judges.stepwise import Stepwise
from elad.revision.repairs import Repair, blind, shown
from elad.steps import is_conclusion

__all__ = ["FirstError"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstError:
    """The teacher works on this student's own chain: a judge finds the first wrong step, a repair follows.

    The steps before it stay exactly as the student wrote them. The chain of the outcome REPAIRED ends
    at the gold answer, where that is known.
    """

    judge: Literal["direct", "compare", "rollout", "stepwise"] = "rollout"
    repair: Literal["blind", "shown"] = "blind"
    continue_: Literal["teacher", "student"] = "teacher"
    """Who goes on after the repaired step. The student's new chain is judged again, also where it ends right."""
    turns: int = 2
    """How often the student may go on."""
    votes: int = 3
    """Solutions of the teacher that `rollout` takes a majority of, where no gold answer is known."""
    max_tokens: int = 256
    """Bound of every reply."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        for key in ("turns", "votes", "max_tokens"):
            require(getattr(self, key) >= 1, f"reviser.{key}", "at least 1", getattr(self, key))

    @property
    def needs(self) -> frozenset[Purpose]:
        repair = {Purpose.REPAIR} if self.repair == "shown" else set[Purpose]()
        return self._judge.needs | repair | {Purpose.CONTINUE}

    def __call__(self, candidate: Candidate, task: Task) -> Revising:
        name = f"first_error({self.judge},{self.repair},{self.continue_})"
        case = Case(candidate=candidate, task=task, reviser=name, max_tokens=self.max_tokens)
        return case.settle(self._revise(case))

    @property
    def _judge(self) -> Judge:
        judges: dict[str, Judge] = {
            "direct": Direct(),
            "compare": Compare(),
            "rollout": Rollout(votes=self.votes),
            "stepwise": Stepwise(),
        }
        return judges[self.judge]

    def _revise(self, case: Case) -> Asking[Revision]:
        draft = Draft(chain=case.candidate.chain)
        for turn in range(self.turns + 1):
            finding = yield from self._find(case, draft)
            index = finding.first_error
            if index is None:
                return _accepted(case, draft)
            if turn == self.turns:
                break
            repair = yield from self._mend(case, draft, index, finding)
            if self.continue_ == "teacher" or _concludes(case, repair.edit):
                return (yield from _by_teacher(case, draft, index, repair))
            draft = yield from _by_student(case, draft, index, repair, turn)
            if turn + 1 == self.turns and case.target is not None and not case.at_target(draft.chain.answer):
                break  # nothing that the judge could say would help
        raise Ended(RevisionOutcome.TURNS, f"not right after {self.turns} turns of the student")

    def _find(self, case: Case, draft: Draft) -> Asking[Finding]:
        """What is wrong with the draft; what is found first goes into the record."""
        if draft.chain.steps or self.judge == "rollout":
            finding = _completed(draft, (yield from self._judge(case, draft)))
        else:
            finding = Finding(first_error=0, reason="the chain is empty")
        case.finding = case.finding or finding
        return finding

    def _mend(self, case: Case, draft: Draft, index: int, finding: Finding) -> Asking[Repair]:
        """The repair of the step at `index`. Raises: Ended when it says what the wrong step said."""
        # Where only the end is missing there is no wrong step to show or to repeat.
        wrong = [] if finding.unfinished else [step.text for step in draft.chain.steps[index : index + 1]]
        mend = shown if wrong and self.repair == "shown" else blind
        repair = yield from mend(case, draft, index, finding)
        case.edit = case.edit or repair.edit
        # A long chain's wrong step may be several steps in one.
        begun = ("\n".join(repair.steps[: i + 1]) for i in range(len(repair.steps)))
        if wrong and any(texts.same(text, wrong[0]) for text in begun):
            raise Ended(RevisionOutcome.COPIED, "the repaired step says what the wrong one said")
        return repair


def _completed(draft: Draft, finding: Finding) -> Finding:
    """The finding, its index no later than where the draft's conclusion is, or ought to be.

    A chain without an answer lacks its end even where no step of it is wrong; a refusal is left alone.
    """
    answered, index = draft.chain.answer is not None, finding.first_error
    if index is None and (answered or draft.chain.outcome is ParseOutcome.REFUSED):
        return finding
    if index is not None and index < draft.body:
        return finding
    reason = "the conclusion is missing" if index is None else finding.reason
    return replace(finding, first_error=draft.body, unfinished=not answered, reason=reason)


def _by_teacher(case: Case, draft: Draft, index: int, repair: Repair) -> Asking[Revision]:
    """The chain with the repaired step and the teacher's rest, bought as far as it is missing."""
    steps = repair.steps
    if not _concludes(case, "\n".join(steps)):
        given = [step.text for step in draft.chain.steps[:index]]
        steps += yield from case.ask_on([*given, *steps])
    return _repaired(case, draft.chain.prefix(index), steps)


def _by_student(case: Case, draft: Draft, index: int, repair: Repair, turn: int) -> Asking[Draft]:
    """What the student makes of the repaired step."""
    base = texts.join(draft.chain.prefix(index), repair.edit) + "\n"
    chain = yield from case.ask_student(base, turn)
    # White space that the student begins with belongs to the repaired step.
    accepted = sum(step.start < len(base.rstrip()) for step in chain.steps)
    reached = texts.whole(case.candidate.problem, case.task, base, repair.rest).answer
    return Draft(chain=chain, accepted=accepted, rest=repair.rest if case.at_target(reached) else ())


def _accepted(case: Case, draft: Draft) -> Revision:
    """The record of a chain that the judge let pass: the student's own, or one already repaired."""
    chain = draft.chain
    if chain is not case.candidate.chain:
        return _finished(case, draft)
    answer = case.check_end(chain.answer)
    whole = texts.closed(case.candidate.problem, case.task, chain, answer)
    return case.revision(RevisionOutcome.ACCEPTED, whole=whole)


def _finished(case: Case, draft: Draft) -> Revision:
    """The record of a repaired chain that the student finished."""
    case.check_end(draft.chain.answer)
    before = draft.chain.prefix(draft.accepted)
    return _repaired(case, before, texts.parts(draft.chain.text[len(before) :]))


def _repaired(case: Case, before: str, rest: tuple[str, ...]) -> Revision:
    """The record of `before` and the rest as one chain. Raises: Ended when it ends off the target."""
    problem, task = case.candidate.problem, case.task
    whole = texts.whole(problem, task, before, rest)
    answer = case.check_end(whole.answer)
    if case.edit and is_conclusion(case.edit):
        case.edit = texts.working(case.edit) or task.conclusion(problem, answer)
    return case.revision(RevisionOutcome.REPAIRED, whole=whole)


def _concludes(case: Case, text: str) -> bool:
    """Whether repaired steps conclude."""
    return case.task.parse(text, case.candidate.problem).answer is not None
