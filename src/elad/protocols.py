"""The verbs: what a strategy or a port takes and gives.

A strategy is one small frozen dataclass with one verb; its fields are its settings and its file's
name is its `kind` in the configuration (`selection/top.py` is `selector: {kind: top}`). The file's
`__all__` names that one class. Strategies do no I/O: a reviser *yields* what it wants to ask, and
only the loop asks.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeAlias, runtime_checkable

from elad.courses import Course, Ruling
from elad.learning import Lesson
from elad.outcomes import ParseOutcome, Purpose
from elad.records import (
    Candidate,
    Chain,
    Charge,
    Example,
    Grade,
    Message,
    Past,
    Problem,
    Reply,
    Request,
    Revision,
    Sampling,
    StepScores,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a student is given: a conversation, and the start of its own reply."""

    messages: tuple[Message, ...]
    """Without any, what follows is a reply to nothing: only the mark that opens one stands before it."""
    prefix: str = ""
    """Text that the student has already said; generation goes on right after it."""
    seed: int = 0
    """Fixes what is drawn for this prompt, whatever else is in the batch."""
    guess: str = field(default="", compare=False)
    """What is likely to come first: an engine may look at it to be quicker, and what it writes is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What a student wrote after the prompt's prefix."""

    text: str
    finished: bool
    """True when it ended by itself; False when `max_tokens` or the context cut it off."""
    tokens: int
    surprise: float | None = field(default=None, compare=False)
    """Mean of -log p over its tokens, in nats, p at temperature 1; None where the engine does not tell, or wrote
    nothing. Not compared: it differs in the last bits with what else is in the batch."""

    @property
    def too_long(self) -> bool:
        """Whether nothing was written, because the prompt does not fit the context."""
        return not self.finished and self.tokens == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A trained student and how its training went."""

    student: "Student"
    summary: Mapping[str, Any]


class Student(Protocol):
    """A model that drafts, is scored, and learns. `fit` gives a new student and leaves the old."""

    @property
    def id(self) -> str:
        """Fingerprint of model, weights and arithmetic: equal ids give equal output."""
        ...

    @property
    def context(self) -> int | None:
        """Tokens that prompt and reply have together; None where that cannot be told in tokens."""
        ...

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        """One generation for each prompt, in the prompts' order.

        A prompt that does not fit the context gives an empty, unfinished generation. `until` is given a prompt's
        place and what was written for it; where it says so, an engine may leave the rest unwritten, or not ask.
        """
        ...

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """Natural log-probability of each token of each target text, right after its prompt."""
        ...

    def fit(
        self,
        examples: Sequence[Example],
        lesson: Lesson,
        *,
        folder: Path,
        progress: Callable[[float], None] | None = None,
    ) -> Fit:
        """A new student, taught by the examples and saved under `folder`.

        `progress` is called with the share of the training that is done, 0..1.
        """
        ...


class StudentSettings(Protocol):
    """What a configuration says of a student; the only place that knows its engine."""

    def open(self) -> Student:
        """The untrained student. Raises: StudentError when it cannot be had."""
        ...

    def load(self, folder: Path) -> Student:
        """A student that `fit` saved under `folder`, equal to the one that `fit` gave."""
        ...


class TeacherSettings(Protocol):
    """What a configuration says of a teacher."""

    def open(self) -> "Teacher":
        """The teacher, connected. Raises: TeacherError when it cannot be reached."""
        ...


class Teacher(Protocol):
    """Who is asked and paid."""

    @property
    def id(self) -> str:
        """Kind and model; part of the key under which replies are kept."""
        ...

    @property
    def serves(self) -> frozenset[Purpose]:
        """Which purposes it can answer."""
        ...

    @property
    def priced(self) -> bool:
        """Whether its charges carry the money that they cost; always, where it costs none."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether the same request, sent again, costs nothing more: it is free, or known by its key."""
        ...

    @property
    def way(self) -> str:
        """How and where requests go, without secrets: who is asked by another way knows nothing of what was sent.

        Raises: TeacherError where that is yet to be found out, and cannot be.
        """
        ...

    def lost(self, request: Request) -> bool | None:
        """Whether an earlier session's try was most likely billed, and its reply cannot be had; to be asked anew then.

        None where it cannot be known. Raises: TeacherError when the endpoint cannot be asked what became of it.
        """
        ...

    @property
    def scope(self) -> str | None:
        """Within what its replies may be reused by other runs; None where they may not."""
        ...

    def worst_case(self, request: Request) -> Charge:
        """The most that one call can be charged with, its seconds left out."""
        ...

    def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        """Replies as they arrive, in any order, one for each request.

        The iterable is drawn from lazily: a request not yet drawn has not been sent. It gives None when
        it waits for a reply before it can give more; None while nothing is under way is the end. A failure
        of one request is a reply with an outcome. Raises `TeacherError` only when the teacher as a
        whole cannot be reached.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """An answer read out of a text, in canonical form; None unless the outcome is PARSED."""

    answer: str | None
    outcome: ParseOutcome


class Task(Protocol):
    """What a question is: how it is put, how an answer is read, what counts as right."""

    @property
    def cue(self) -> str:
        """The words that make a student conclude, e.g. "The answer is"."""
        ...

    def messages(self, problem: Problem) -> tuple[Message, ...]:
        """The conversation that puts the question to a student (and, in their prompts, to teachers)."""
        ...

    def question(self, problem: Problem) -> str:
        """Context, question and lettered options as one text."""
        ...

    def conclusion(self, problem: Problem, answer: str) -> str:
        """The concluding sentence, with the answer in the form that `parse` takes strictly."""
        ...

    def options(self, problem: Problem) -> tuple[str, ...] | None:
        """The short texts that may follow the cue (letters), or None for free answers."""
        ...

    def parse(self, text: str, problem: Problem, *, finished: bool = True) -> Parsed:
        """The answer that a text concludes with. `finished=False`: the text was cut off."""
        ...

    def same(self, first: str | None, second: str | None, problem: Problem) -> bool:
        """Whether two parsed answers mean the same; None equals nothing, not even None."""
        ...

    def grade(self, problem: Problem, chain: Chain) -> Grade:
        """How the chain compares with the gold answer. Raises ValueError without a gold answer."""
        ...

    def wrong_answer(self, problem: Problem) -> str:
        """A plausible answer that is not the gold one, for checking the grader."""
        ...


class Uncertainty(Protocol):
    """How unsure a student is of each step of its own chains."""

    def __call__(
        self, drafts: Sequence[tuple[Problem, Chain]], student: Student, task: Task, seed: int
    ) -> list[StepScores]: ...


@runtime_checkable
class Gradual(Uncertainty, Protocol):
    """A score by samples that may begin with a few of them, and go on with the others where that can matter."""

    def few(self, samples: int) -> Uncertainty:
        """The same with the first so many samples. Raises: ConfigError where it cannot, or they are not fewer."""
        ...

    def most(self, scores: StepScores) -> float:
        """The highest aggregate that scores by few samples can come to with all of them."""
        ...

    def complete(
        self,
        drafts: Sequence[tuple[Problem, Chain]],
        scores: Sequence[StepScores],
        student: Student,
        task: Task,
        seed: int,
    ) -> list[StepScores]:
        """What a call gives, from scores by few samples and the samples that they lack."""
        ...


@runtime_checkable
class Indirect(Uncertainty, Protocol):
    """A score that may be of something else than what the student drafted, such as the answers that the data give."""

    @property
    def of_drafts(self) -> bool:
        """Whether it is of the drafts after all, so that it says little while they cannot be read."""
        ...


@runtime_checkable
class Suited(Protocol):
    """A strategy that does not go with every task, and says so when an experiment is built."""

    def suits(self, task: Task) -> None:
        """Nothing where it goes with the task. Raises: ConfigError that says why it does not."""
        ...


class Encoder(Protocol):
    """Who turns questions into vectors for a selector."""

    @property
    def own(self) -> bool:
        """Whether it is the student itself, so that the vectors change with it."""
        ...

    def __call__(self, problems: Sequence[Problem], student: Student, task: Task) -> list[tuple[float, ...]]:
        """A vector for each problem, all of one length. Raises: ConfigError where they cannot be had."""
        ...


class Selector(Protocol):
    """Picks questions to buy: ids, best first, unique, at most `allowance` of them."""

    @property
    def needs_scores(self) -> bool: ...

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]: ...


@runtime_checkable
class Ranking(Selector, Protocol):
    """A selector that picks the highest aggregates; which of equal ones is its own affair."""

    @property
    def ranks(self) -> bool:
        """True: no candidate with a lower aggregate is ever picked before one with a higher."""
        ...


@runtime_checkable
class Embedded(Protocol):
    """A selector that looks at the candidates' embeddings too."""

    @property
    def encoder(self) -> Encoder | None:
        """Who makes them; None where it does not look after all."""
        ...


@runtime_checkable
class Experienced(Selector, Protocol):
    """A selector that learns from what was bought in earlier rounds."""

    def having(self, past: Sequence[Past]) -> Selector:
        """The same, knowing that: questions in the order in which they were picked."""
        ...


@runtime_checkable
class Several(Selector, Protocol):
    """Several selectors that share the picks."""

    def picks(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> dict[str, str]:
        """What a call gives, in its order, and the name of the one that picked it."""
        ...


class Stopping(Protocol):
    """Whether a further round is worth beginning, though rounds and money are left; equal courses, equal rulings."""

    @property
    def needs_scores(self) -> bool: ...

    def __call__(self, course: Course) -> Ruling: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A prompt whose reply is drawn in a way of its own, and not as the run drafts."""

    prompt: Prompt
    sampling: Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """How likely the student finds each of these texts, right after a prompt."""

    prompt: Prompt
    options: tuple[str, ...]


Weights: TypeAlias = tuple[tuple[float, ...], ...]
"""Of each option, the log-probability of each of its tokens; none where it does not fit the context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrasting:
    """Where the guide would rather have another token than the one in a text, right after a prompt."""

    prompt: Prompt
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A token of a text in whose place the guide finds another one likeliest."""

    start: int
    end: int
    """Its characters `[start, end)` of the text."""
    preferred: str
    """What the guide finds likeliest; "" where the text would end there."""
    divergence: float
    """KL(guide || student) of what might stand there, in nats."""


Contrast: TypeAlias = tuple[Disagreement, ...]
"""In the text's order. Left out is what no text can tell: a token that is half a character, or another that says the
same."""

Consult: TypeAlias = Prompt | Sample | Weighing | Contrasting
"""What a reviser asks of the student, or of it and its guide; a bare `Prompt` is drawn as the run drafts."""
Ask: TypeAlias = Request | Consult
"""A `Request` goes to the teacher."""
Told: TypeAlias = Reply | Generation | Weights | Contrast
Revising: TypeAlias = Generator[tuple[Ask, ...], tuple[Told, ...], Revision]


class Reviser(Protocol):
    """Turns a candidate into a revision by asking.

    A generator: it yields tuples of asks, is sent the answers in the same order, and returns the
    revision. It does no I/O and draws no random numbers, so that a run resumed from the ledger
    takes the same path. Answers with the outcome `BUDGET` end it with `RevisionOutcome.BUDGET`.
    """

    @property
    def needs(self) -> frozenset[Purpose]:
        """What the teacher must serve."""
        ...

    def __call__(self, candidate: Candidate, task: Task) -> Revising: ...


@runtime_checkable
class Guided(Protocol):
    """A reviser that may ask for a `Contrasting`."""

    @property
    def guided(self) -> bool:
        """Whether it does, so that there must be a guide."""
        ...
