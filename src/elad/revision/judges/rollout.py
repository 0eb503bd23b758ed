"""Judges a chain by where the teacher gets to from its prefixes."""

from dataclasses import dataclass, replace
from itertools import takewhile

from elad.outcomes import Purpose, ReplyOutcome, RevisionOutcome
from elad.records import Reply
from elad.revision import texts
from elad.revision.case import Asking, Case, Draft, Ended, Finding

__all__ = ["Rollout"]

_VOTE_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """No judgement in words: the first step after which the teacher misses the target is wrong.

    The teacher goes on from prefixes of the chain, by binary search, and never sees the step in
    question. What it wrote after the longest prefix that leads to the target is the repair, already
    paid for. A chain that ends at the target is accepted for its answer, without a call.

    The target is the gold answer, else the majority of `votes` solutions that the teacher samples.
    The search takes it that a prefix of a good prefix is good; with a noisy teacher the prefix it
    finds leads to the target but may not be the longest that does. A step that is wrong but does no
    harm to the teacher's way on is not found.
    """

    votes: int = 3

    def __post_init__(self) -> None:
        if self.votes < 1:
            raise ValueError("votes must be at least 1")

    @property
    def needs(self) -> frozenset[Purpose]:
        return frozenset({Purpose.CONTINUE, Purpose.ROLLOUT, Purpose.SOLVE})

    def __call__(self, case: Case, draft: Draft) -> Asking[Finding]:
        if case.target is None:
            case.target = yield from self._vote(case)
        if case.at_target(draft.chain.answer):
            return Finding(first_error=None, looked=False, reason="it ends at the target")
        found, rest = yield from _longest(case, draft)
        reason = f"the teacher gets there from {found} steps, not from more"
        return Finding(first_error=found, rest=rest, reason=reason)

    def _vote(self, case: Case) -> Asking[str]:
        """What most of the teacher's own solutions conclude; no more are bought than decide it."""
        request = case.request(Purpose.SOLVE)
        sampling = replace(request.sampling, temperature=_VOTE_TEMPERATURE)
        ballots = [replace(request, sampling=sampling, seed=seed) for seed in range(self.votes)]
        problem, needed = case.candidate.problem, self.votes // 2 + 1
        for bought in (ballots[:needed], ballots):
            solutions = yield from case.ask(*bought)
            answers = [_ballot(case, reply) for reply in solutions]
            for answer in answers:
                if answer is not None and sum(case.task.same(answer, a, problem) for a in answers) >= needed:
                    return answer
        raise Ended(RevisionOutcome.UNSURE, f"no majority among {self.votes} solutions of the teacher")


def _ballot(case: Case, solution: Reply) -> str | None:
    """What a solution concludes; None where it does not, or was cut off as it did."""
    finished = solution.outcome is ReplyOutcome.OK
    return case.task.parse(solution.text, case.candidate.problem, finished=finished).answer


def _longest(case: Case, draft: Draft) -> Asking[tuple[int, tuple[str, ...]]]:
    """The longest prefix found from which the teacher reaches the target, and its way on from there.

    Raises: Ended when it does not get there from the question alone.
    """
    steps = [step.text for step in draft.chain.steps[: draft.body]]
    bought = bool(draft.rest) and draft.accepted <= len(steps)
    known, rest = (draft.accepted, draft.rest) if bought else (-1, ())
    beyond = len(steps) + 1
    read = False
    while beyond - known > 1:
        middle = (known + beyond) // 2
        way = yield from case.ask_on(steps[:middle])
        read = read or bool(way)
        if not _reaches(case, draft.chain.prefix(middle), way):
            beyond = middle
            continue
        # Where the teacher writes what the student wrote next, unseen, it vouches for those steps too.
        pairs = zip(way, steps[middle:], strict=False)
        shared = len(list(takewhile(lambda pair: texts.same(*pair), pairs)))
        known, rest = middle + shared, way[shared:]
    if known < 0:
        outcome = RevisionOutcome.UNSURE if read else RevisionOutcome.UNREADABLE
        raise Ended(outcome, "the teacher does not reach the target from the question alone")
    return known, rest


def _reaches(case: Case, before: str, way: tuple[str, ...]) -> bool:
    """Whether the teacher's way on from `before` concludes with the target."""
    whole = texts.whole(case.candidate.problem, case.task, before, way)
    return bool(way) and case.at_target(whole.answer)
