"""Self-confidence: the student is shown its explanation and asked how sure it is of it.

Evidence: asking for one of "very confident", "confident", "not confident", "wrong answer" is a score of Active-Prompt
(Diao et al., 2023, arXiv 2302.12246), which found it the worst of its four: models are over-confident [S]. That the
reply is not written but its four forms are weighed, and that they stand for 1, 2/3, 1/3 and 0, is ours [D].
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from elad.protocols import Prompt, Student, Task
from elad.records import Chain, Message, Problem, StepScores
from elad.uncertainty.beliefs import Belief
from elad.uncertainty.probes import normalised

__all__ = ["SelfConfidence"]

_LEVELS = ("1", "2", "3", "4")


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
        pairs = [(prompt, f" {level}") for prompt in prompts for level in _LEVELS]
        logs = iter(student.score(pairs) if pairs else [])
        return [
            _scores({None: 1.0} if chain.answer is None else normalised(_LEVELS, [next(logs) for _ in _LEVELS]))
            for _, chain in drafts
        ]


def _prompt(problem: Problem, chain: Chain, task: Task) -> Prompt:
    said = Message(role="assistant", content=chain.text)
    return Prompt(messages=(*task.messages(problem), said, Message(role="user", content=_asked())), prefix=task.cue)


def _scores(belief: Belief) -> StepScores:
    stated = sum(place / 3 * belief.get(level, 0.0) for place, level in enumerate(_LEVELS))
    stated = min(stated, 1.0)
    detail = {"levels": [round(belief.get(level, 0.0), 4) for level in _LEVELS], "prompt_version": _version()}
    return StepScores(parts={}, steps=(), aggregate=1 - stated, confidence=stated, detail=detail)


@cache
def _asked() -> str:
    return files("elad.uncertainty").joinpath("prompts", "self_confidence.md").read_text(encoding="utf-8").strip()


@cache
def _version() -> str:
    return hashlib.sha256(_asked().encode()).hexdigest()[:8]
