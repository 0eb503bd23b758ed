"""One revision in progress: what was asked so far, what it cost, and what was found."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from elad.asks import Generation, Prompt
from elad.outcomes import ParseOutcome, Purpose, ReplyOutcome, RevisionOutcome, Verdict
from elad.protocols import Ask, Revising, Task, Told
from elad.records import (
    Candidate,
    Chain,
    Charge,
    Message,
    Reply,
    Request,
    Revision,
    Sampling,
)
from elad.revision import prompts, replies, texts
from elad.tasks.chains import body, make_chain

T = TypeVar("T")
Asking: TypeAlias = Generator[tuple[Ask, ...], tuple[Told, ...], T]
"""A part of a revision: yields asks, is sent the answers, returns a `T`."""

_MOST_REASON = 500
_MOST_SHOWN = 2_000
_ENDS = {
    ReplyOutcome.BUDGET: RevisionOutcome.BUDGET,
    ReplyOutcome.FAILED: RevisionOutcome.FAILED,
    ReplyOutcome.REJECTED: RevisionOutcome.FAILED,
    ReplyOutcome.REFUSED: RevisionOutcome.FAILED,
}
"""Replies that end a revision at once. Of a cut-off one, what is complete is read."""


class Ended(Exception):
    """Carries the outcome of a revision that cannot go on up to its reviser, and no further."""

    def __init__(self, outcome: RevisionOutcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A chain to be judged, and what is known of it already."""

    chain: Chain
    accepted: int = 0
    """How many steps at its start need no judging."""
    rest: tuple[str, ...] = ()
    """The teacher's own way on from the accepted steps to the target, where it was bought."""

    @property
    def body(self) -> int:
        """How many steps come before the conclusion, one that was cut off half-way not counted."""
        count = body(self.chain)
        cut_off = self.chain.outcome is ParseOutcome.TRUNCATED and count == len(self.chain.steps) > 0
        return count - 1 if cut_off else count


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a judge found in a chain."""

    first_error: int | None
    """Index from 0 of the first wrong step; the number of steps where all are right and the
    conclusion is missing; None where nothing is wrong."""
    unfinished: bool = False
    """True where that step is not wrong, but cut off, missing, or a conclusion that cannot be read."""
    corrected: str = ""
    """That step in the judge's own words; "" where it gave none."""
    rest: tuple[str, ...] = ()
    """The teacher's way on from the steps before it to the target, unseen by the wrong step."""
    looked: bool = True
    """False where a chain was accepted for its answer alone, its steps unseen."""
    reason: str = ""

    def verdicts(self, steps: int) -> tuple[Verdict, ...]:
        """A verdict for each of `steps` steps."""
        if not self.looked:
            return (Verdict.UNJUDGED,) * steps
        right = steps if self.first_error is None else self.first_error
        wrong = 0 if self.unfinished else min(1, steps - right)
        said = (Verdict.RIGHT,) * right + (Verdict.WRONG,) * wrong
        return said + (Verdict.UNJUDGED,) * (steps - right - wrong)


@dataclass(slots=True, kw_only=True)
class Case:
    """The asks and findings of one revision."""

    candidate: Candidate
    task: Task
    reviser: str
    max_tokens: int
    target: str | None = field(init=False)
    """What a chain must conclude: the gold answer, else what the teacher was found to answer."""
    finding: Finding | None = None
    """What was found in the candidate's own chain; stays None until it has been judged."""
    edit: str | None = None
    """The step that repairs it."""
    _replies: dict[str, Reply] = field(default_factory=dict[str, Reply])
    _versions: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.target = self.candidate.problem.answer

    def request(self, purpose: Purpose, steps: Sequence[str] = (), **parts: str) -> Request:
        """The request for `purpose`; `steps` are the data, `parts` fill what its prompt needs besides."""
        prompt = prompts.load(purpose.value.replace(" ", "_"))
        problem = self.candidate.problem
        form = "one of the options, its letter first" if problem.choices else "the answer alone"
        question = self.task.question(problem)
        messages = prompt.messages(question=question, cue=self.task.cue, form=form, **parts)
        return Request(
            problem=problem,
            purpose=purpose,
            messages=messages,
            steps=tuple(step.strip() for step in steps),
            schema=replies.SCHEMAS.get(purpose),
            sampling=Sampling(max_tokens=self.max_tokens),
            prompt_version=prompt.version,
        )

    def ask(self, *requests: Request) -> Asking[tuple[Reply, ...]]:
        """The replies, in order; what was asked before in this case is not asked again.

        Raises: Ended when a request failed, was refused, or was beyond the budget.
        """
        new = tuple({r.key: r for r in requests if r.key not in self._replies}.values())
        self._versions += [r.prompt_version for r in new]
        told = (yield new) if new else ()
        for request, reply in zip(new, told, strict=True):
            assert isinstance(reply, Reply)
            self._replies[request.key] = reply
        found = tuple(self._replies[request.key] for request in requests)
        for reply in found:
            if reply.outcome in _ENDS:
                raise Ended(_ENDS[reply.outcome], f"request {reply.outcome.value}: {reply.reason}")
        return found

    def ask_text(self, request: Request, given: Sequence[str]) -> Asking[tuple[str, ...]]:
        """The complete steps that the teacher wrote after the `given` ones; () where nothing is usable."""
        (reply,) = yield from self.ask(request)
        steps = texts.parts(texts.clean(reply.text, self.task.question(request.problem)))
        cut_off = reply.outcome is ReplyOutcome.TRUNCATED or len(reply.text) > texts.MOST_CHARACTERS
        return texts.unrepeated(steps[:-1] if cut_off else steps, given)

    def ask_on(self, given: Sequence[str]) -> Asking[tuple[str, ...]]:
        """The steps with which the teacher goes on from accepted ones; () where nothing is usable."""
        return (yield from self.ask_text(self.request(Purpose.CONTINUE, given, given=lines(given)), given))

    def ask_json(self, request: Request, reader: replies.Reader[T]) -> Asking[T]:
        """What the teacher's JSON says.

        An unreadable reply is shown back once. Raises: Ended when the next cannot be read either.
        """
        question = self.task.question(request.problem)
        (reply,) = yield from self.ask(request)
        value = replies.read(reply.text, reader, question)
        if isinstance(value, replies.Unreadable):
            (reply,) = yield from self.ask(_again(request, reply, value))
            value = replies.read(reply.text, reader, question)
        if isinstance(value, replies.Unreadable):
            raise Ended(RevisionOutcome.UNREADABLE, f"the reply could not be read: {value.value}")
        return value

    def ask_student(self, before: str, turn: int) -> Asking[Chain]:
        """The chain that the student makes of `before`; `turn` is its seed."""
        problem, old = self.candidate.problem, self.candidate.chain
        prompt = Prompt(messages=self.task.messages(problem), prefix=before, seed=turn)
        (said,) = yield (prompt,)
        assert isinstance(said, Generation)
        text = before + said.text
        return make_chain(
            text,
            problem,
            self.task,
            finished=said.finished,
            sampling=old.sampling,
            seed=turn,
            tokens=said.tokens,
            most_steps=max(1, len(text)),  # none is merged: where the repair lies must stay
        )

    def at_target(self, answer: str | None) -> bool:
        """Whether the target is known and `answer` means the same."""
        return self.task.same(answer, self.target, self.candidate.problem)

    def check_end(self, answer: str | None) -> str:
        """The answer, if it is the target or no target is known. Raises: Ended otherwise."""
        if answer is None:
            raise Ended(RevisionOutcome.WRONG_END, "the chain does not conclude")
        if self.target is not None and not self.at_target(answer):
            raise Ended(RevisionOutcome.WRONG_END, f"the chain ends at {answer!r}")
        return answer

    def settle(self, revising: Asking[Revision]) -> Revising:
        """Carries `revising` out; an early end becomes a revision with its outcome."""
        try:
            return (yield from revising)
        except Ended as end:
            return self.revision(end.outcome, reason=end.reason)

    def revision(self, outcome: RevisionOutcome, *, whole: texts.Whole | None = None, reason: str = "") -> Revision:
        """The record of this case; `whole` is what may be trained on, where the outcome allows it."""
        chain, finding = self.candidate.chain, self.finding or Finding(first_error=None, looked=False)
        kept = whole if outcome.trainable else None
        first_error = finding.first_error
        if chain.steps and (finding.unfinished or first_error == len(chain.steps)):
            first_error = None  # no step is wrong: the chain only lacks its end
        return Revision(
            problem_id=self.candidate.problem.id,
            outcome=outcome,
            before=chain.text,
            after=kept.text if kept else None,
            answer=kept.answer if kept else None,
            verdicts=finding.verdicts(len(chain.steps)),
            first_error=first_error,
            edit=self.edit,
            reason=(reason or finding.reason)[:_MOST_REASON],
            reviser=self.reviser,
            charge=sum((reply.charge for reply in self._replies.values()), Charge()),
            requests=tuple(self._replies),
            prompt_versions=tuple(dict.fromkeys(self._versions)),
        )


def _again(request: Request, reply: Reply, problem: replies.Unreadable) -> Request:
    """The request with its unreadable reply shown back."""
    prompt = prompts.load("fix_json")
    keys = ", ".join(f'"{key}"' for key in (request.schema or {}).get("required", ()))
    shown = Message(role="assistant", content=reply.text[:_MOST_SHOWN].strip() or "(nothing)")
    asked = Message(role="user", content=prompt.messages(problem=problem.value, keys=keys)[-1].content)
    return replace(request, messages=(*request.messages, shown, asked), prompt_version=prompt.version)


def lines(steps: Sequence[str]) -> str:
    """Accepted steps one a line, as a teacher reads them; a remark where there are none."""
    return "\n".join(" ".join(step.split()) for step in steps) or "(none yet)"
