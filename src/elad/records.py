"""The nouns: frozen records, known by content and never by position.

Outcomes are enums. A missing answer is `None` beside an outcome that says why, never a default.
`to_json` and `from_json` carry any record to and from plain JSON; unknown fields are refused.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter

from elad.outcomes import ParseOutcome, Purpose, ReplyOutcome, RevisionOutcome, Verdict

T = TypeVar("T")
_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A question of the pool or of the held-out set."""

    __pydantic_config__ = _CONFIG

    id: str
    question: str
    choices: tuple[str, ...] | None = None
    answer: str | None = None
    """Gold answer; for choice tasks the text of one of `choices`."""
    rationale: str | None = None
    """A reference solution in words, without the closing answer sentence."""
    context: str | None = None
    """A passage that the question is about; shown before it."""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a chain: the half-open span `[start, end)` of the chain's text."""

    __pydantic_config__ = _CONFIG

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How text is drawn. Temperature 0 is greedy, and then the seed means nothing."""

    __pydantic_config__ = _CONFIG

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """An explanation up to its first conclusion: text, its steps (spans that partition it), what it concludes."""

    __pydantic_config__ = _CONFIG

    problem_id: str
    text: str
    steps: tuple[Step, ...]
    answer: str | None
    outcome: ParseOutcome
    sampling: Sampling
    seed: int
    tokens: int
    """Generated tokens, the end-of-text token counted."""
    tail: str = ""
    """What the student went on to say after its conclusion: kept as it was written, and part of no step."""
    surprise: float | None = None
    """Mean of -log p over all generated tokens, in nats; None where engine or earlier version does not tell."""

    def prefix(self, n: int) -> str:
        """The text of the first `n` steps, exactly as it stands in the chain."""
        return self.text[: self.steps[n - 1].end] if n else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepScores:
    """Uncertainty of a chain, step by step. All scores lie in 0..1, 1 the most uncertain.

    A kind that scores the question as a whole says nothing of its steps: `parts` and `steps` are empty then.
    """

    __pydantic_config__ = _CONFIG

    parts: Mapping[str, tuple[float, ...]]
    """Per-step values by name (`intra`, `inter`, ...), each as long as the chain has steps; 0 where not scored."""
    steps: tuple[float, ...]
    """Per step, the parts combined."""
    aggregate: float
    """The question's score."""
    confidence: float
    """Share of the student's own samples that end in its answer, 0..1, or what a kind has nearest; breaks ties."""
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the scores were computed from (conclusions after each prefix, re-sampled answers)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a selector and a reviser look at; `scores` is None where the selector needs none."""

    problem: Problem
    chain: Chain
    scores: StepScores | None
    embedding: tuple[float, ...] | None = None
    """Where the question lies among the others; None where the selector does not look at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What something cost. Charges add up; money of two currencies does not."""

    __pydantic_config__ = _CONFIG

    calls: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    """The part of `tokens_in` that the endpoint served from its prefix cache."""
    tokens_out: int = 0
    seconds: float = 0.0
    money: float = 0.0
    currency: str | None = None
    price_version: str | None = None
    """Of a sum: the versions of all its parts, sorted, with "; " between them."""
    estimated: bool = False
    """True where the endpoint reported no usage and tokens were counted by other means."""

    def __add__(self, other: "Charge") -> "Charge":
        if self.currency and other.currency and self.currency != other.currency:
            raise ValueError(f"cannot add {self.currency} to {other.currency}")
        versions = {one for part in (self, other) if part.price_version for one in part.price_version.split("; ")}
        return Charge(
            calls=self.calls + other.calls,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_cached=self.tokens_cached + other.tokens_cached,
            tokens_out=self.tokens_out + other.tokens_out,
            seconds=self.seconds + other.seconds,
            money=self.money + other.money,
            currency=self.currency or other.currency,
            price_version="; ".join(sorted(versions)) or None,
            estimated=self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A question that an earlier round bought, and what came of it: what a selector may learn from."""

    round: int
    problem: Problem
    chain: str
    """What the student had written."""
    aggregate: float | None
    """The score that it had; None where it was not scored."""
    parts: Mapping[str, tuple[float, ...]]
    """What that score was made of, as in `StepScores`."""
    embedding: tuple[float, ...] | None
    """Where it lies among the candidates of this round; None where the selector does not look at it."""
    by: str | None
    """Which of several selectors picked it; None where there is one."""
    outcome: RevisionOutcome
    changed: bool
    """Whether what is to be learnt answers otherwise than the student had; False where nothing is."""
    charge: Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation, in the roles that chat templates know."""

    __pydantic_config__ = _CONFIG

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to a teacher: what a model reads, and the same thing as data.

    Language models answer `messages`. Teachers without a model (`reference`, `recorded`) answer
    from `problem`, `purpose` and `steps`, in the same reply format.
    """

    __pydantic_config__ = _CONFIG

    problem: Problem
    purpose: Purpose
    messages: tuple[Message, ...]
    steps: tuple[str, ...] = ()
    """JUDGE, COMPARE: all steps. CONTINUE: accepted ones. REPAIR, JUDGE_STEP: those, then the one in question."""
    schema: Mapping[str, Any] | None = None
    """JSON schema of the reply, for endpoints with structured output."""
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    prompt_version: str = ""

    @property
    def key(self) -> str:
        """Content hash of what is asked; two equal keys ask the same thing."""
        return digest([
            self.problem.id, self.purpose, [to_json(m) for m in self.messages], self.schema,
            to_json(self.sampling), self.seed, self.prompt_version,
        ])  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back for the request with key `request`."""

    __pydantic_config__ = _CONFIG

    request: str
    text: str
    outcome: ReplyOutcome
    charge: Charge
    teacher: str
    reason: str = ""
    """Why it is not OK, in words, without secrets."""
    cached: bool = False
    """Bought by an earlier run, at no charge to this one."""
    original: Charge | None = None
    """Of a cached one, what it cost that run; None in earlier ledgers."""

    @property
    def bought(self) -> Charge:
        """What it cost whoever bought it."""
        return self.original or self.charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What the teacher made of one chain."""

    __pydantic_config__ = _CONFIG

    problem_id: str
    outcome: RevisionOutcome
    before: str
    after: str | None
    """The chain to train on; None unless the outcome is trainable."""
    answer: str | None
    """What `after` concludes."""
    verdicts: tuple[Verdict, ...]
    first_error: int | None
    """Index from 0 of the first wrong step of `before`; None if none was found."""
    edit: str | None
    """The repaired step alone."""
    reason: str
    reviser: str
    charge: Charge
    requests: tuple[str, ...]
    """Keys of the requests that it took, in order."""
    prompt_versions: tuple[str, ...]
    rejected: str | None = None
    """What `after` is to be preferred to; None where there is no such thing."""
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What it was judged by, where that was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What the student trains on: a conversation and the target that follows it."""

    __pydantic_config__ = _CONFIG

    problem_id: str
    messages: tuple[Message, ...]
    target: str
    source: str
    """`warmup`, `guide`, `student`, or the outcome of the revision it comes from."""
    rejected: str | None = None
    """Of a pair, the worse target."""
    marks: tuple[tuple[int, int, float], ...] = ()
    """Parts `[start, end)` of the target, in characters, whose tokens count so many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """How a chain's answer compares with the gold answer."""

    __pydantic_config__ = _CONFIG

    problem_id: str
    strict: bool
    """Right, and concluded in the form that was asked for."""
    lenient: bool
    """Right by the best reading of the text; strict implies lenient."""
    outcome: ParseOutcome
    answer: str | None
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One turn of the loop, as ids and numbers; round 0 is the student before any purchase."""

    __pydantic_config__ = _CONFIG

    round: int
    picks: tuple[str, ...]
    revisions: Mapping[str, int]
    """How many revisions ended in each outcome."""
    examples: int
    """Rows so far that were learnt from: warm-up, bought, of a guide. `too_long` are over `training.max_length`."""
    student: str
    """Fingerprint of the student that was evaluated."""
    accuracy: float
    accuracy_lenient: float
    parsed: float
    steps: float
    """Mean number of steps."""
    intervals: Mapping[str, tuple[float, float]]
    """At 95 %: Wilson's for the shares `accuracy`, `accuracy_lenient` and `parsed`, bootstrap for `steps`."""
    charge: Charge
    seconds: Mapping[str, float]
    """Time by stage."""
    too_long: int = 0


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def to_json(record: object) -> Any:
    """The record as plain JSON values (tuples as lists, enums as their values)."""
    return _adapter(type(record)).dump_python(record, mode="json")


def from_json(kind: type[T], data: object) -> T:
    """A record of `kind` from plain JSON values. Raises: pydantic.ValidationError on unknown fields and wrong types."""
    return cast(T, _adapter(kind).validate_python(data))


def digest(value: object) -> str:
    """Content hash of plain JSON values: 16 hex digits of SHA-256 over their canonical form."""
    return hashlib.sha256(_canonical(value)).hexdigest()[:16]


def digest_list(values: Iterable[object]) -> str:
    """The digest of the list of them, without holding it.

    >>> digest_list(iter([1, "b"])) == digest([1, "b"])
    True
    """
    sha = hashlib.sha256(b"[")
    for place, value in enumerate(values):
        sha.update(b"," if place else b"")
        sha.update(_canonical(value))
    sha.update(b"]")
    return sha.hexdigest()[:16]


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode("utf-8", "surrogatepass")


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from names and numbers, the same on every machine.

    >>> derive_seed(0, "draft", "q1") == derive_seed(0, "draft", "q1")
    True
    """
    text = json.dumps(parts, default=str, ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
