"""Objectives for tests: which there are, made-up batches for them, and two processes."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from room_kit import named
from torch import Tensor
from torch import distributed as dist

from elad.kinds import build, describe
from elad.learning import Full, Learns, Need, Objective, Targets, TopK, View

ROOM = "elad.training.objectives"
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "jsd": [{}, {"beta": 0.1}, {"beta": 0.9}],
    "skewed_forward_kl": [{}, {"alpha": 0.7}],
    "skewed_reverse_kl": [{}, {"alpha": 0.7}],
    "soft": [{}, {"lambda": 1.0, "tau": 1.0}, {"lambda": 0.6, "tau": 3.0, "scaled": True}],
    "dac_kl": [{"lower": 0.65}, {"lower": 0.3, "upper": 0.85}, {"lower": 0.7, "upper": 0.9, "learned": True}],
    "dpo": [{}, {"beta": 0.7}],
    "weighted": [
        {"of": {"sft": 1.0, "jsd": 0.5}},
        {"of": {"soft": {"weight": 2.0, "tau": 1.0}, "dac": {"kind": "dac_kl", "lower": 0.7, "learned": True}}},
        {"of": {"dpo": {"beta": 0.4, "weight": 3.0}}},
    ],
}
"""Settings of a kind that differ in what is computed. A kind that is not here is tested as it comes."""
ROWS = [0, 0, 0, 1, 2, 2, 2, 3, 3]
CARRIED = [True, True, False, True, True, False, True, True, True]
WORDS = ["red", "ripe", "apples"]

CASES = [(kind, given) for kind in named(ROOM, Objective) for given in VARIANTS.get(kind, [{}])]
OBJECTIVES: list[Objective] = [build(ROOM, {"kind": kind, **given}, "objective") for kind, given in CASES]
NAMES = [" ".join([kind, *(f"{key}={value}" for key, value in given.items())]) for kind, given in CASES]


def kind_of(objective: Objective) -> str:
    return describe(objective)["kind"]


def live(objective: Objective) -> Objective:
    """It as a training begins with it; weights of its own are not those that it begins with but any."""
    if not isinstance(objective, Learns):
        return objective
    ready, weights = objective.begun(5, torch.device("cpu"))
    generator = torch.Generator().manual_seed(6)
    for weight in weights:
        weight.data.add_(torch.randn(weight.shape, generator=generator))
    return ready


@dataclass(frozen=True, kw_only=True)
class Made:
    """Logits, and the targets that go with them: those of four rows, a word each, some of which carry no loss."""

    logits_NV: Tensor
    targets: Targets

    def loss(self, objective: Objective) -> tuple[float, Tensor]:
        """Its total, and the gradient of the logits."""
        logits_NV = self.logits_NV.detach().requires_grad_()
        total = objective(logits_NV, self.targets).total
        (gradient,) = torch.autograd.grad(total, logits_NV)
        return total.item(), gradient

    def but(self, logits_NV: Tensor | None = None, **changes: Any) -> "Made":
        return Made(
            logits_NV=self.logits_NV if logits_NV is None else logits_NV, targets=replace(self.targets, **changes)
        )

    def part(self, rows: Sequence[int]) -> "Made":
        """These rows alone, in this order."""
        told = self.targets
        order = torch.cat([(told.rows_N == row).nonzero()[:, 0] for row in rows])
        numbers = torch.tensor([rows.index(int(row)) for row in told.rows_N[order]])
        return Made(
            logits_NV=self.logits_NV[order],
            targets=Targets(
                ids_N=told.ids_N[order],
                mask_N=told.mask_N[order],
                weights_N=told.weights_N[order],
                rows_N=numbers,
                view=told.view and of_some(told.view, order),
                reference_R=None if told.reference_R is None else told.reference_R[list(rows)],
                texts_R=told.texts_R and tuple(told.texts_R[row] for row in rows),
                places_N2=None if told.places_N2 is None else told.places_N2[order],
            ),
        )


def of_some(view: View, order: Tensor) -> View:
    """What the guide says of some targets."""
    return type(view)(**{field.name: getattr(view, field.name)[order] for field in fields(view)})


def made(seed: int, needs: frozenset[Need], *, size: int = 11, scale: float = 2.0, top: int | None = None) -> Made:
    """A batch drawn by the seed; of a guide's view the `top` likeliest tokens where that is given."""
    generator = torch.Generator().manual_seed(seed)
    texts = [" ".join(WORDS[: ROWS.count(row)]) for row in range(4)]
    words = [(row, WORDS[at - ROWS.index(row)]) for at, row in enumerate(ROWS)]
    begun = [texts[row].index(word) for row, word in words]
    places = [(begin, begin + len(word)) for begin, (_, word) in zip(begun, words, strict=True)]

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    guide_NV = scale * drawn(len(ROWS), size)
    return Made(
        logits_NV=scale * drawn(len(ROWS), size),
        targets=Targets(
            ids_N=torch.randint(size, (len(ROWS),), generator=generator),
            mask_N=torch.tensor(CARRIED),
            weights_N=torch.rand(len(ROWS), generator=generator) + 0.5,
            rows_N=torch.tensor(ROWS),
            view=seen_of(guide_NV, top) if Need.GUIDE in needs else None,
            reference_R=-5 * drawn(4).abs() if Need.REFERENCE in needs else None,
            texts_R=tuple(texts) if Need.TEXT in needs else None,
            places_N2=torch.tensor(places) if Need.TEXT in needs else None,
        ),
    )


def seen_of(guide_NV: Tensor, top: int | None) -> View:
    if top is None:
        return Full(logits_NV=guide_NV)
    likeliest = guide_NV.log_softmax(-1).topk(top)
    return TopK(ids_NK=likeliest.indices, logs_NK=likeliest.values)


def shared_out(rank: int, folder: Path) -> None:
    """One of two processes: its two rows of every case, and what both sum up to, written into the folder."""
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    found: list[list[float]] = []
    for objective in OBJECTIVES:
        ready = live(objective)
        total, count, gradient = through_weights(ready, made(3, objective.needs), [2 * rank, 2 * rank + 1])
        sums = torch.cat([torch.stack([total, count]), gradient.flatten()])
        dist.all_reduce(sums)
        found.append((sums / sums[1]).tolist())
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def through_weights(objective: Objective, batch: Made, *parts: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Total, count and gradient of shared weights, added up over some parts of the rows."""
    size = batch.logits_NV.shape[-1]
    weights_VV = torch.eye(size).requires_grad_()
    total, count = torch.tensor(0.0), torch.tensor(0.0)
    for rows in parts:
        some = batch.part(rows)
        loss = objective(some.logits_NV @ weights_VV, some.targets)
        loss.total.backward()
        total, count = total + loss.total.detach(), count + loss.count
    assert weights_VV.grad is not None
    return total, count, weights_VV.grad


if __name__ == "__main__":
    shared_out(int(sys.argv[1]), Path(sys.argv[2]))
