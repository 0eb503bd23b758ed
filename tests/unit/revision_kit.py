"""What the tests of revision share: a small task, chains of it, and a scripted teacher."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from elad.outcomes import ParseOutcome, ReplyOutcome
from elad.protocols import (
    Ask,
    Contrast,
    Contrasting,
    Generation,
    Parsed,
    Prompt,
    Reviser,
    Sample,
    Told,
    Weighing,
    Weights,
)
from elad.records import (
    Candidate,
    Chain,
    Charge,
    Grade,
    Message,
    Problem,
    Reply,
    Request,
    Revision,
    Sampling,
)
from elad.tasks.chains import make_chain

QUESTION = "Tom has 3 bags of 4 apples and eats 2. How many are left?"


class Cut(str):
    """A reply that the bound on its length cut off."""

    __slots__ = ()


@dataclass(frozen=True)
class Sums:
    """Whole numbers after "The answer is"; the last one counts."""

    cue: str = "The answer is"

    def messages(self, problem: Problem) -> tuple[Message, ...]:
        return (Message(role="user", content=problem.question),)

    def question(self, problem: Problem) -> str:
        return problem.question

    def conclusion(self, problem: Problem, answer: str) -> str:
        return f"{self.cue} {answer}."

    def options(self, problem: Problem) -> tuple[str, ...] | None:
        return None

    def parse(self, text: str, problem: Problem, *, finished: bool = True) -> Parsed:
        found = list(re.finditer(r"(?:[Aa]nswer is (?:[\d +]+ = )?|#### )\$?(-?\d+)", text))
        if found and (finished or found[-1].end() < len(text)):
            return Parsed(answer=found[-1][1], outcome=ParseOutcome.PARSED)
        return Parsed(answer=None, outcome=ParseOutcome.NO_CONCLUSION if finished else ParseOutcome.TRUNCATED)

    def same(self, first: str | None, second: str | None, problem: Problem) -> bool:
        return first is not None and first == second

    def grade(self, problem: Problem, chain: Chain) -> Grade:
        raise NotImplementedError

    def wrong_answer(self, problem: Problem) -> str:
        return "0"


TASK = Sums()


def candidate(text: str, answer: str | None = "10", *, finished: bool = True, most: int = 12) -> Candidate:
    """A candidate whose chain is `text`, in at most `most` steps."""
    problem = Problem(id="q1", question=QUESTION, answer=answer)
    chain = make_chain(
        text,
        problem,
        TASK,
        finished=finished,
        sampling=Sampling(),
        seed=0,
        tokens=len(text.split()),
        most_steps=most,
    )
    return Candidate(problem=problem, chain=chain, scores=None)


@dataclass
class Script:
    """Answers asks by `teacher` and `student`, and keeps what was asked."""

    teacher: Callable[[Request], str | ReplyOutcome]
    student: Callable[[Prompt], str] = lambda _: ""
    weigh: Callable[[Weighing], Weights] = lambda one: ((-1.0,),) * len(one.options)
    guide: Callable[[Contrasting], Contrast] = lambda _: ()
    asked: list[Ask] = field(default_factory=list)

    def tell(self, ask: Ask) -> Told:
        self.asked.append(ask)
        if isinstance(ask, Weighing):
            return self.weigh(ask)
        if isinstance(ask, Contrasting):
            return self.guide(ask)
        if isinstance(ask, Prompt | Sample):
            text = self.student(ask if isinstance(ask, Prompt) else ask.prompt)
            finished = bool(text) and not isinstance(text, Cut)
            return Generation(text=text, finished=finished, tokens=len(text.split()))
        said = self.teacher(ask)
        read = ReplyOutcome.TRUNCATED if isinstance(said, Cut) else ReplyOutcome.OK
        outcome = said if isinstance(said, ReplyOutcome) else read
        return Reply(
            request=ask.key,
            text="" if isinstance(said, ReplyOutcome) else said,
            outcome=outcome,
            charge=Charge(calls=1, tokens_in=7, tokens_out=3, money=0.5, currency="USD"),
            teacher="script",
        )

    def run(self, reviser: Reviser, of: Candidate) -> Revision:
        """The revision that `reviser` comes to."""
        revising = reviser(of, TASK)
        try:
            asks = next(revising)
            while True:
                asks = revising.send(tuple(self.tell(ask) for ask in asks))
        except StopIteration as stop:
            return stop.value

    @property
    def requests(self) -> list[Request]:
        return [ask for ask in self.asked if isinstance(ask, Request)]


def whole(first_error: int | None, corrected: str = "", reason: str = "because") -> str:
    """A judge's reply about a whole chain."""
    return json.dumps({"first_error": first_error, "corrected_step": corrected, "reason": reason})


def one(correct: bool, corrected: str = "") -> str:
    """A judge's reply about one step."""
    return json.dumps({"correct": correct, "corrected_step": corrected, "reason": "because"})


def shown(request: Request) -> str:
    """All that a request lets the teacher read."""
    return "\n".join([*(message.content for message in request.messages), *request.steps])


def queue(*replies: str | ReplyOutcome) -> Callable[[Request], str | ReplyOutcome]:
    """A teacher that gives these replies in turn."""
    left = list(replies)
    return lambda _: left.pop(0)
