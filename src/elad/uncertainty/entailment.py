"""The port for natural-language inference, and agreement of two steps by it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class Entailment(Protocol):
    """Whatever can tell if one sentence follows from another."""

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """For each pair, the probability that the first entails the second."""
        ...


@runtime_checkable
class Contradiction(Protocol):
    """Whatever can tell if two texts cannot both be true."""

    def contradiction(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """For each pair, the probability that the first contradicts the second."""
        ...


def mutual(pairs: Sequence[tuple[str, str]], entails: Entailment) -> list[float]:
    """How far the two of each pair say the same, 0..1: the weaker of both directions.

    The scorer is asked once, and only about pairs that need it: equal texts agree, and an empty one
    agrees with nothing but another empty one.

    Raises: ValueError when the scorer gives another number of values, or one outside 0..1.
    Source: entailment in both directions is reconstructed [R]; taking the weaker one is ours [D].
    """
    clean = [(first.strip(), second.strip()) for first, second in pairs]
    asked = list(dict.fromkeys(pair for pair in clean if pair[0] != pair[1] and all(pair)))
    both = [ordered for first, second in asked for ordered in ((first, second), (second, first))]
    values = entails(both) if both else []
    if len(values) != len(both) or not all(0 <= value <= 1 for value in values):
        raise ValueError(f"an entailment scorer must give {len(both)} probabilities")
    known = {pair: min(values[2 * at], values[2 * at + 1]) for at, pair in enumerate(asked)}
    return [known.get(pair, float(pair[0] == pair[1])) for pair in clean]
