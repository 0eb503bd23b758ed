"""What objectives give by plain loops: one target at a time, lists of Python's own floats, always in logarithms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, floor, log, log1p
from typing import Any

from objective_kit import Made, kind_of
from torch import Tensor

from elad.learning import TopK

EPSILON = 2.0**-23
"""The least that a guide's other tokens have together."""

Logs = list[float]


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A target that carries loss."""

    student: list[float]
    guide: list[float]
    id: int
    weight: float
    row: int
    top: list[int] | None
    edges: list[float] | None

    def logs(self, whose: str, tau: float = 1.0) -> Logs:
        """Log-probabilities; all but the guide's likeliest tokens in one where the guide shows no more."""
        logits = [value / tau for value in getattr(self, whose)]
        every = [value - together(logits) for value in logits]
        if self.top is None or len(self.top) == len(every):
            return every
        others = together([value for i, value in enumerate(every) if i not in self.top])
        return [*(every[i] for i in self.top), max(others, log(EPSILON)) if whose == "guide" else others]


def moved(spots: Sequence[Spot], steps: Sequence[Sequence[float]]) -> list[Spot]:
    """The same with the student's logits a step further each."""
    return [
        replace(spot, student=[value + more for value, more in zip(spot.student, step, strict=True)])
        for spot, step in zip(spots, steps, strict=True)
    ]


def together(logs: Sequence[float]) -> float:
    """The logarithm of the sum of what these are the logarithms of."""
    most = max(logs, default=-float("inf"))
    return most if most == -float("inf") else most + log(sum(exp(value - most) for value in logs))


def kl(first: Logs, second: Logs) -> float:
    return sum(exp(a) * (a - b) for a, b in zip(first, second, strict=True) if exp(a) > 0)


def mixture(first: Logs, second: Logs, share: float) -> Logs:
    return [together([a + log(share), b + log(1 - share)]) for a, b in zip(first, second, strict=True)]


def jsd(guide: Logs, student: Logs, beta: float) -> float:
    both = mixture(guide, student, beta)
    return beta * kl(guide, both) + (1 - beta) * kl(student, both)


def dac_kl(guide: Logs, student: Logs, id: int, kept: Callable[[int], float]) -> float:
    """`kept` says which part of a class is."""
    parts = [1.0 if i == id else kept(i) for i in range(len(guide))]
    total = sum(part * exp(a) * (a - b) for part, a, b in zip(parts, guide, student, strict=True))
    rests = [
        together([value + log(1 - part) for part, value in zip(parts, one, strict=True) if part < 1])
        for one in (guide, student)
    ]
    return total + (exp(rests[0]) * (rests[0] - rests[1]) if exp(rests[0]) > 0 else 0.0)


def clipped(one: Any, spot: Spot) -> float:
    guide, student = spot.logs("guide"), spot.logs("student")
    if spot.edges is not None:
        edges = spot.edges
        return dac_kl(guide, student, spot.id, lambda i: 1 / (1 + exp(min(-edges[i], 700))))
    ordered = sorted(guide)
    least, most = (
        ordered[place] for place in (ceil(one.lower * (len(guide) - 1)), floor(one.upper * (len(guide) - 1)))
    )
    return dac_kl(guide, student, spot.id, lambda i: float(least <= guide[i] <= most))


def soft(one: Any, spot: Spot) -> float:
    factor = one.tau**2 if one.scaled else 1.0
    both = kl(spot.logs("guide", one.tau), spot.logs("student", one.tau))
    return (1 - one.lambda_) * surprise(spot) + one.lambda_ * factor * both


def surprise(spot: Spot) -> float:
    return together(spot.student) - spot.student[spot.id]


BY_TARGET: dict[str, Callable[[Any, Spot], float]] = {
    "sft": lambda _, spot: surprise(spot),
    "soft": soft,
    "dac_kl": clipped,
    "forward_kl": lambda _, spot: kl(spot.logs("guide"), spot.logs("student")),
    "reverse_kl": lambda _, spot: kl(spot.logs("student"), spot.logs("guide")),
    "symmetric_kl": lambda _, spot: sum(BY_TARGET[f"{way}_kl"](_, spot) for way in ("forward", "reverse")) / 2,
    "jsd": lambda one, spot: jsd(spot.logs("guide"), spot.logs("student"), one.beta),
    "total_variation": lambda _, spot: (
        sum(abs(exp(a) - exp(b)) for a, b in zip(spot.logs("guide"), spot.logs("student"), strict=True)) / 2
    ),
    "skewed_forward_kl": lambda one, spot: kl(
        spot.logs("guide"), mixture(spot.logs("guide"), spot.logs("student"), one.alpha)
    ),
    "skewed_reverse_kl": lambda one, spot: kl(
        spot.logs("student"), mixture(spot.logs("student"), spot.logs("guide"), one.alpha)
    ),
}
"""What one target adds, before its weight."""
REFERENCES = {*BY_TARGET, "dpo", "weighted"}


def hard_share(objective: Any) -> float:
    """How much of the tokens' own cross-entropy is in an objective, which no guide can take away."""
    kind = kind_of(objective)
    if kind == "weighted":
        return sum(weight * hard_share(one) for weight, one in objective.of.values())
    return {"sft": 1.0, "soft": 1 - getattr(objective, "lambda_", 0.0)}.get(kind, 0.0)


def slow(objective: Any, spots: Sequence[Spot], before: Sequence[float]) -> float:
    """The total of an objective; `before` is what each row was given before training."""
    kind = kind_of(objective)
    if kind == "weighted":
        return sum(weight * slow(one, spots, before) for weight, one in objective.of.values())
    if kind != "dpo":
        return sum(spot.weight * BY_TARGET[kind](objective, spot) for spot in spots)
    gains = [-value for value in before]
    for spot in spots:
        gains[spot.row] -= spot.weight * surprise(spot)
    margins = [objective.beta * (gains[at] - gains[at + 1]) for at in range(0, len(gains), 2)]
    return sum(log1p(exp(-margin)) if margin > -700 else -margin for margin in margins)


def spots_of(batch: Made, guide_NV: Tensor, ready: Any) -> list[Spot]:
    """The targets of a batch that carry loss, one by one; `ready` is the objective with what it has learnt."""
    told = batch.targets
    edges_NV = edges_of(ready, batch, guide_NV)
    return [
        Spot(
            student=batch.logits_NV[i].double().tolist(),
            guide=guide_NV[i].double().tolist(),
            id=int(told.ids_N[i]),
            weight=float(told.weights_N[i]),
            row=int(told.rows_N[i]),
            top=told.view.ids_NK[i].tolist() if isinstance(told.view, TopK) else None,
            edges=None if edges_NV is None else edges_NV[i].tolist(),
        )
        for i in range(len(told.ids_N))
        if told.mask_N[i]
    ]


def edges_of(ready: Any, batch: Made, guide_NV: Tensor) -> Tensor | None:
    """Those of a learnt band, wherever in an objective it is."""
    terms = [ready, *(term.objective for term in getattr(ready, "of", {}).values())]
    for band in (term.band for term in terms if hasattr(term, "band")):
        return band(batch.logits_NV.float().log_softmax(-1), guide_NV.float().log_softmax(-1)).detach()
    return None
