"""Scores of steps by what a student says of each token of its own chain."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from elad.asks import Prompt
from elad.protocols import Task
from elad.records import Chain, StepScores
from elad.uncertainty.beliefs import Draft, scored


def by_tokens(
    name: str,
    drafts: Sequence[Draft],
    task: Task,
    ask: Callable[[Sequence[tuple[Prompt, str]]], list[tuple[float, ...]]],
    unsure: Callable[[Sequence[float]], float],
) -> list[StepScores]:
    """Scores in the drafts' order: `unsure`, 0..1, of a step's numbers per step, of all of a chain's per question.

    Only the steps up to and including the conclusion are scored; the others carry 0. `ask` gives a number for each
    token of a text right after its prompt. Confidence is 1 - the question's score. Edge cases: a chain without steps,
    and one with a step of which there are no numbers, are wholly uncertain.
    """
    pairs = [
        (Prompt(messages=task.messages(problem), prefix=before), step)
        for problem, chain in drafts
        for before, step in _pieces(chain)
    ]
    found = iter(ask(pairs) if pairs else [])

    def combined(chain: Chain) -> StepScores:
        numbers = [next(found) for _ in _pieces(chain)]
        if not numbers:
            return StepScores(parts={}, steps=(), aggregate=1.0, confidence=0.0)
        steps = (*map(unsure, numbers), *[0.0] * (len(chain.steps) - len(numbers)))
        whole = unsure([one for tokens in numbers for one in tokens]) if all(numbers) else 1.0
        return StepScores(parts={name: steps}, steps=steps, aggregate=whole, confidence=1 - whole)

    return [combined(chain) for _, chain in drafts]


def _pieces(chain: Chain) -> list[tuple[str, str]]:
    """Each scored step and what is said before it; a space between two belongs to the second, as models have it."""
    ends = [len(chain.prefix(count).rstrip(" \t")) for count in range(scored(chain) + 1)]
    return [(chain.text[:start], chain.text[start:end]) for start, end in pairwise(ends)]
