"""Self-confidence: the student is shown its explanation and asked how sure it is of it.

Evidence: asking for one of "(a) very confident (b) confident (c) not confident (d) wrong answer" is a score of
Active-Prompt (Diao et al., 2023, arXiv 2302.12246, appendix on self-confidence), which found that it performs badly:
models are over-confident [S]. There the least of the largest probabilities is picked; that the four forms stand for 1,
2/3, 1/3 and 0, and that the reply is weighed and not written, is ours [D]. So are the words that it begins with: after
those that conclude a chain (`task.cue`), a student says its answer once more, and not how sure it is of it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from elad.asks import Prompt
from elad.protocols import Student, Task
from elad.records import Chain, Message, Problem, StepScores
from elad.uncertainty.beliefs import Belief
from elad.uncertainty.probes import normalised

__all__ = ["SelfConfidence"]

_CUE = "My confidence is"
_STATED = {"a": 1.0, "b": 2 / 3, "c": 1 / 3, "d": 0.0}
"""What each reply stands for. Small letters: those of a choice question's options are capitals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfConfidence:
    """1 - the confidence that the student states in its own chain: the mean over its possible replies."""

    def __call__(
        self, drafts: Sequence[tuple[Problem, Chain]], student: Student, task: Task, seed: int
    ) -> list[StepScores]:
        """Scores in the drafts' order; confidence is what the student states. Nothing is drawn.

        Edge cases: a chain without an answer is not asked about, and what does not fit the context cannot be: both
        are wholly uncertain. Raises: ValueError when the student gives a log-probability that is not one.
        """
        prompts = [_prompt(problem, chain, task) for problem, chain in drafts if chain.answer is not None]
        pairs = [(prompt, f" ({letter}") for prompt in prompts for letter in _STATED]
        logs = iter(student.score(pairs) if pairs else [])
        return [
            _scores({None: 1.0} if chain.answer is None else normalised(tuple(_STATED), [next(logs) for _ in _STATED]))
            for _, chain in drafts
        ]


def _prompt(problem: Problem, chain: Chain, task: Task) -> Prompt:
    said = Message(role="assistant", content=chain.text)
    return Prompt(messages=(*task.messages(problem), said, Message(role="user", content=_asked())), prefix=_CUE)


def _scores(belief: Belief) -> StepScores:
    stated = min(sum(stands * belief.get(letter, 0.0) for letter, stands in _STATED.items()), 1.0)
    detail = {"levels": [round(belief.get(letter, 0.0), 4) for letter in _STATED], "prompt_version": _version()}
    return StepScores(parts={}, steps=(), aggregate=1 - stated, confidence=stated, detail=detail)


@cache
def _asked() -> str:
    return files("elad.uncertainty").joinpath("prompts", "self_confidence.md").read_text(encoding="utf-8").strip()


@cache
def _version() -> str:
    return hashlib.sha256(_asked().encode()).hexdigest()[:8]
