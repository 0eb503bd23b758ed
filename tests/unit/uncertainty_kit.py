"""A scripted student whose every answer is known, and chains of numbered steps."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from elad.asks import Generation, Prompt
from elad.protocols import Fit
from elad.records import (
    Chain,
    Problem,
    Sampling,
    StepScores,
)
from elad.tasks.chains import make_chain
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.uncertainty.elad import Elad

TASK = Numeric()
OPTIONS = Choice()


@dataclass
class Scripted:
    """A student that says what it is told to, and remembers what it was asked."""

    says: Callable[[Prompt], str] = lambda prompt: " 0."
    weighs: Callable[[Prompt, str], float] = lambda prompt, option: -1.0
    asked: list[tuple[Sequence[Prompt], Sampling]] = field(default_factory=list[Any])
    scored: list[Sequence[tuple[Prompt, str]]] = field(default_factory=list[Any])
    id: str = "scripted"
    context: int | None = None

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        self.asked.append((prompts, sampling))
        return [Generation(text=self.says(prompt), finished=True, tokens=1) for prompt in prompts]

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        self.scored.append(pairs)
        return [(self.weighs(prompt, option),) for prompt, option in pairs]

    def fit(self, *_: object, **__: object) -> Fit:
        raise NotImplementedError


def draft(text: str, *, id: str = "q", choices: tuple[str, ...] | None = None) -> tuple[Problem, Chain]:
    problem = Problem(id=id, question=f"What about {id}?", choices=choices)
    task = OPTIONS if choices else TASK
    sampling = Sampling()
    chain = make_chain(text, problem, task, finished=True, sampling=sampling, seed=0, tokens=9, most_steps=12)
    return problem, chain


def said(prompt: Prompt) -> int:
    """How many of the chain's steps the prompt holds; they are numbered in their own text."""
    return len(re.findall(r"Note \d", prompt.prefix))


def notes(count: int, answer: str | None = "5") -> str:
    """A chain of `count` numbered steps, and a conclusion unless `answer` is None."""
    lines = [f"Note {number} says so." for number in range(1, count + 1)]
    return "\n".join(lines if answer is None else [*lines, f"The answer is {answer}."])


def concluding(*answers: str | None) -> Callable[[Prompt], str]:
    """Answers by the number of steps said before the cue; None is one that cannot be read."""
    return lambda prompt: f" {answer}." if (answer := answers[said(prompt)]) else " ..."


def one(uncertainty: Elad, student: Any, text: str, choices: tuple[str, ...] | None = None) -> StepScores:
    task = OPTIONS if choices else TASK
    (scores,) = uncertainty([draft(text, choices=choices)], student, task, 7)
    return scores


INTRA = Elad(weight=1.0)
INTER = Elad(weight=0.0)
