"""What each of several scores has cost, though they share what they ask a student."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from elad.packing.tree import Pack
from elad.protocols import Generation, Prompt
from elad.records import Sampling

COSTS = ("sampled", "read", "seconds")


class Asked(NamedTuple):
    """One thing that a student was asked."""

    tokens: tuple[int, ...]
    """Of the prompt, and of the text that is scored right after it."""
    found: Any
    written: int
    """Tokens that it generated."""
    seconds: float


class Metered:
    """A student that is asked nothing twice, and tells what each answer has cost, whoever it was first asked for.

    The seconds of a call are shared out by the tokens of its answers: what prompts have in common is computed once, so
    that a few samples, had they been drawn alone, would have taken a little longer.
    """

    def __init__(self, student: Any, encode: Callable[[Prompt], Sequence[int]]) -> None:
        self.student = student
        self.id, self.context = student.id, student.context
        self._encode = encode
        self._known: dict[Any, Asked] = {}
        self._asked: list[Asked] = []

    def spent(self) -> list[Asked]:
        """What was asked since this was called last."""
        asked, self._asked = self._asked, []
        return asked

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        """As the student does."""

        def ask(places: Sequence[int]) -> list[Generation]:
            def stop(at: int, text: str) -> bool:
                return until is not None and until(places[at], text)

            return self.student.generate([prompts[place] for place in places], sampling, stop if until else None)

        return self._told([("generate", one, sampling) for one in prompts], ask, lambda one: one.tokens)

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """As the student does."""
        return self._numbers("score", pairs)

    def entropies(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """As the student does."""
        return self._numbers("entropies", pairs)

    def _numbers(self, name: str, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        ask = getattr(self.student, name)
        return self._told([(name, *pair) for pair in pairs], lambda places: ask([pairs[at] for at in places]), len)

    def _told(
        self, keys: Sequence[Any], ask: Callable[[Sequence[int]], list[Any]], size: Callable[[Any], int]
    ) -> list[Any]:
        places = [place for place, key in enumerate(keys) if key not in self._known]
        if places:
            started = time.perf_counter()
            found = ask(places)
            took = time.perf_counter() - started
            shares = [max(size(one), 1) for one in found]
            for place, one, share in zip(places, found, shares, strict=True):
                kind, prompt, what = key = keys[place]
                drawn = kind == "generate"
                read = prompt if drawn else replace(prompt, prefix=prompt.prefix + what)
                seconds = took * share / sum(shares)
                self._known[key] = Asked(tuple(self._encode(read)), one, size(one) if drawn else 0, seconds)
        asked = [self._known[key] for key in keys]
        self._asked += asked
        return [one.found for one in asked]


def cost(asked: Sequence[Asked]) -> dict[str, Any]:
    """Tokens that were sampled, those of prompts with beginnings in common counted once, and the seconds it took."""
    tree = Pack()
    for place, one in enumerate(asked):
        tree.add(place, one.tokens)
    seconds = round(sum(one.seconds for one in asked), 6)
    return dict(zip(COSTS, (sum(one.written for one in asked), len(tree.tokens), seconds), strict=True))
