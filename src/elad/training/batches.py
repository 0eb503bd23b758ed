"""What a training batch is made of: examples as rows, alone or in pairs, and what a feed makes of them."""

# torch leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from elad.learning import AdaptiveFeed, Feed, FeedBegun, Lesson, Need, Write
from elad.packing.sight import Sight
from elad.records import Example, derive_seed
from elad.training.guide import target_logits
from elad.training.rows import Row, collate, encode_rows


@dataclass(frozen=True, slots=True)
class Item:
    """An example and its rows: one, or the better and the worse of a pair."""

    example: Example
    rows: tuple[Row, ...]

    def fits(self, length: int) -> bool:
        """Whether none of its rows is longer."""
        return all(len(row) <= length for row in self.rows)


class Items(Dataset[Item]):
    """What the Trainer draws from."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]


@dataclass(kw_only=True)
class Serving:
    """Makes a micro-batch of drawn items; all those of a step are made when it is due, none of them before."""

    tokenizer: Any
    lesson: Lesson
    write: Write
    done: float = 0.0
    """Share of the training, 0..1."""
    rng: random.Random = field(init=False)
    feed: Feed | None = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(derive_seed(self.lesson.seed, "feed"))
        feed = self.lesson.feed
        self.feed = feed.begun() if isinstance(feed, AdaptiveFeed) else feed

    def validated(self, loss: float) -> None:
        """Tells a feed that goes by it the validation loss."""
        if isinstance(self.feed, FeedBegun):
            self.feed.validated(loss)

    def __call__(self, items: Sequence[Item]) -> dict[str, Any]:
        """The items as they are drawn, which is one micro-batch ahead: the answers of a feed would be older by that."""
        return {"items": list(items)}

    def batch(self, items: Sequence[Item]) -> dict[str, Any]:
        """Packed; what a feed makes of them where there is one. Of too long rows a feed's item stays as it was."""
        if self.feed is not None:
            fed = self.feed([item.example for item in items], self.write, self.done, self.rng)
            made = [encoded(self.tokenizer, one, self.lesson) for one in fed]
            most = self.lesson.training.max_length
            items = [new if new.fits(most) else old for new, old in zip(made, items, strict=True)]
        return packed(items, self.lesson)


def packed(items: Sequence[Item], lesson: Lesson) -> dict[str, Any]:
    """The rows of all items as one batch."""
    return collate(list(chain.from_iterable(item.rows for item in items)), pairs=in_pairs(lesson))


def in_pairs(lesson: Lesson) -> bool:
    """Whether what is learnt from is pairs."""
    return Need.PAIRS in lesson.objective.needs


def encoded(tokenizer: Any, example: Example, lesson: Lesson) -> Item:
    """The example with its rows; what it rejects is one of them where pairs are learnt from."""
    rejected = example.rejected if in_pairs(lesson) else None
    placed = Need.TEXT in lesson.objective.needs
    return Item(example, encode_rows(tokenizer, replace(example, rejected=rejected), placed=placed))


def referred(
    model: nn.Module, items: Sequence[Item], count: int, sight: Sight, dtype: torch.dtype | None = None
) -> list[Item]:
    """The items, each row with the log-probability that the model gives its target now, token by token weighted.

    `count` of them are read side by side, in the numbers that `target_logits` takes.
    """
    found: list[Item] = []
    device = next(model.parameters()).device
    model.eval()
    for start in range(0, len(items), count):
        part = items[start : start + count]
        rows = list(chain.from_iterable(item.rows for item in part))
        batch = {name: one.to(device) for name, one in collate(rows).items() if isinstance(one, torch.Tensor)}
        with torch.no_grad():
            logs_NV = target_logits(model, batch, sight, dtype).float().log_softmax(-1)
        said_N = logs_NV.gather(-1, batch["targets"][:, None])[:, 0] * batch["weights"]
        sums = iter(said_N.new_zeros(len(rows)).index_add(0, batch["rows"], said_N).tolist())
        found += [replace(item, rows=tuple(replace(row, reference=next(sums)) for row in item.rows)) for item in part]
    model.train()
    return found
