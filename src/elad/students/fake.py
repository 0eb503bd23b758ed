"""A scripted student, for tests, examples and dry runs: no model, no weights, the same on every machine."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log
from pathlib import Path
from statistics import fmean

from pydantic import ConfigDict, TypeAdapter, ValidationError

from elad.errors import ConfigError, StudentError
from elad.learning import Lesson
from elad.protocols import Contrast, Disagreement, Fit, Generation, Prompt, Student
from elad.records import Example, Message, Sampling, derive_seed, digest, to_json
from elad.students.scripted import CUE, explain

__all__ = ["Fake"]

_MANIFEST = "fake.json"
_MANIFEST_BYTES = 64_000_000
_RATE = 100
"""Examples after which the share of slips has fallen to 1/e."""
_PLACES = 32
"""Numbers of an embedding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fake:
    """Settings of a student that adds and subtracts the numbers of a question, and slips at some steps."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    skill: float = 0.3
    """Probability of a right step before any training, 0..1."""
    seed: int = 0
    """Which questions it finds hard."""
    context: int = 8000
    """Characters of messages and prefix that it takes; more gives an empty, unfinished generation."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        if not 0 <= self.skill <= 1:
            raise ConfigError(f"student.skill: must lie in 0..1, not {self.skill}")
        if self.context < 1:
            raise ConfigError(f"student.context: must be at least 1, not {self.context}")

    def open(self) -> "FakeStudent":
        """The untrained student."""
        return FakeStudent(settings=self)

    @classmethod
    def load(cls, folder: Path) -> "FakeStudent":
        """The trained student that `fit` saved under `folder`.

        Raises: StudentError when there is none, or its file cannot be read.
        """
        path = folder / _MANIFEST
        try:
            if path.stat().st_size > _MANIFEST_BYTES:
                raise StudentError(f"{path}: larger than {_MANIFEST_BYTES} bytes")
            return _ADAPTER.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StudentError(f"{path}: no fake student can be read there: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeStudent:
    """A student that slips less the more it was trained on, and repeats what it was trained on.

    Greedy text depends on the question alone. A token is a run of characters up to the next space.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    settings: Fake
    memory: Mapping[str, str] = field(default_factory=dict[str, str])
    """Target by content hash of the conversation before it."""

    @property
    def id(self) -> str:
        return f"fake-{digest(to_json(self))}"

    @property
    def context(self) -> int | None:
        """None: it counts characters, and those of the prompt alone."""
        return None

    @property
    def skill(self) -> float:
        """Probability of a right step: 1 - (1 - first skill) * exp(-distinct examples / 100)."""
        return 1 - (1 - self.settings.skill) * exp(-len(self.memory) / _RATE)

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        """What it says, to the end: `until` is not asked."""
        return [self._generate(prompt, sampling) for prompt in prompts]

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """Log-probabilities by token: high where the target is what it would say, low elsewhere.

        Edge cases: a prompt that does not fit gives no tokens.
        """
        return [self._score(prompt, target) for prompt, target in pairs]

    def entropies(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """Numbers by lot, one for each token: the question, the prefix and the token's place decide them."""
        return [self._entropies(prompt, target) for prompt, target in pairs]

    def embed(self, prompts: Sequence[Prompt]) -> list[tuple[float, ...]]:
        """Counts of the question's words, each word in one of 32 places."""
        return [self._embed(prompt) for prompt in prompts]

    def contrast(self, pairs: Sequence[tuple[Prompt, str]], guide: Student) -> list[Contrast]:
        """In each line the first word that the guide would not say there; how far they are apart is drawn by lot."""
        if not isinstance(guide, FakeStudent):
            raise StudentError("guide: a scripted student can only be held against another one")
        return [tuple(self._disagreements(prompt, text, guide)) for prompt, text in pairs]

    def fit(
        self,
        examples: Sequence[Example],
        lesson: Lesson,
        *,
        folder: Path,
        progress: Callable[[float], None] | None = None,
    ) -> Fit:
        """A student that knows the examples too; only the examples matter, not the lesson."""
        learned = {_key(example.messages): example.target for example in examples}
        student = FakeStudent(settings=self.settings, memory={**self.memory, **learned})
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MANIFEST).write_bytes(_ADAPTER.dump_json(student))
        if progress is not None:
            progress(1.0)
        return Fit(student=student, summary={"examples": len(examples), "skill": round(student.skill, 4)})

    def _generate(self, prompt: Prompt, sampling: Sampling) -> Generation:
        if not self._fits(prompt):
            return Generation(text="", finished=False, tokens=0)
        pieces = _tokens(self._rest(prompt, greedy=sampling.temperature == 0))
        finished = len(pieces) < sampling.max_tokens
        text = "".join(pieces[: sampling.max_tokens])
        logs = self._score(prompt, text)
        return Generation(
            text=text,
            finished=finished,
            tokens=len(logs) + int(finished),
            surprise=-fmean(logs) if logs else None,
        )

    def _score(self, prompt: Prompt, target: str) -> tuple[float, ...]:
        if not self._fits(prompt):
            return ()
        expected = _tokens(self._rest(prompt, greedy=True))
        expected += [""] * (len(_tokens(target)) - len(expected))
        return tuple(
            log(_probability(token, other, derive_seed(self.settings.seed, prompt.prefix, place, token)))
            for place, (token, other) in enumerate(zip(_tokens(target), expected, strict=False))
        )

    def _disagreements(self, prompt: Prompt, text: str, guide: "FakeStudent") -> Iterator[Disagreement]:
        begin = 0
        for line in text.splitlines(keepends=True) if self._fits(prompt) else ():
            said = prompt.prefix + text[:begin]
            wanted = guide._rest(replace(prompt, prefix=said), greedy=True).partition("\n")[0]
            start, begin = begin, begin + len(line)
            for token, preferred in zip(_tokens(line), _tokens(wanted), strict=False):
                end = start + len(token)
                if preferred != token:
                    apart = derive_seed(self.settings.seed, said, token) / 2**63
                    yield Disagreement(start=start, end=end, preferred=preferred, divergence=apart)
                    break
                start = end

    def _entropies(self, prompt: Prompt, target: str) -> tuple[float, ...]:
        luck = (self.settings.seed, "undecided", _question(prompt), prompt.prefix)
        count = len(_tokens(target)) if self._fits(prompt) else 0
        return tuple(derive_seed(*luck, place) / 2**63 for place in range(count))

    def _embed(self, prompt: Prompt) -> tuple[float, ...]:
        counts = [0.0] * _PLACES
        for word in re.findall(r"\w+", _question(prompt)) if self._fits(prompt) else ():
            counts[derive_seed(word) % _PLACES] += 1
        return tuple(counts)

    def _fits(self, prompt: Prompt) -> bool:
        size = sum(len(message.content) for message in prompt.messages) + len(prompt.prefix)
        return size <= self.settings.context

    def _rest(self, prompt: Prompt, *, greedy: bool) -> str:
        """All that it would say after the prefix, were there no end to its tokens."""
        trained = self.memory.get(_key(prompt.messages))
        said = prompt.prefix
        if trained is not None and trained.startswith(said):
            return trained[len(said) :]
        if trained is not None and said.rstrip().endswith(CUE) and CUE in trained:
            return trained.rpartition(CUE)[2]
        draw = "greedy" if greedy else prompt.seed
        question = _question(prompt)
        return explain(question, said, skill=self.skill, luck=(self.settings.seed, question, draw))


def _question(prompt: Prompt) -> str:
    return next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")


def _key(messages: Sequence[Message]) -> str:
    return digest([[message.role, message.content] for message in messages])


def _tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


def _probability(token: str, expected: str, seed: int) -> float:
    share = seed / 2**63
    return 0.4 + 0.3 * share if _bare(token) == _bare(expected) else 0.01 + 0.04 * share


def _bare(token: str) -> str:
    return token.strip().strip("().:")


_ADAPTER = TypeAdapter(FakeStudent)
