"""The verbs of learning: what a batch is made of, what a guide says of it, and what a student is trained towards.

Letters of shapes: N targets (tokens that should come next) of the R rows of a batch, V tokens of the vocabulary, K of
them that a guide tells of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from elad.records import Example, Sampling
from elad.settings import Training

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as torch_device


class Need(StrEnum):
    """What an objective has to be told beside logits and targets."""

    GUIDE = "guide"
    """What another model, the guide, would have said at each target."""
    PAIRS = "pairs"
    """Rows in pairs, the better one first; its loss is counted by pairs, not by targets."""
    REFERENCE = "reference"
    """The log-probability that the student gave each row before it learnt from any."""
    TEXT = "text"
    """What each row says, and where in it each target stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """A guide's logits of the whole vocabulary, trimmed to what the student's has too."""

    logits_NV: "Tensor"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK:
    """A guide's K likeliest tokens and their natural log-probabilities; what is left of 1 is the others' together."""

    ids_NK: "Tensor"
    logs_NK: "Tensor"


View: TypeAlias = Full | TopK
"""What a guide lets be seen of itself at each target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What N predictions should have been, and what is known of each."""

    ids_N: "Tensor"
    """The tokens that should come next."""
    mask_N: "Tensor"
    """Which of them carry loss."""
    weights_N: "Tensor"
    """How much, 1 but where an example marks a part of its text."""
    rows_N: "Tensor"
    """The row of each, 0 to R - 1. With `Need.PAIRS` rows 2i and 2i + 1 are a pair, the better one first."""
    view: View | None = None
    """With `Need.GUIDE`."""
    reference_R: "Tensor | None" = None
    """With `Need.REFERENCE`: the sum of log-probabilities of a row's targets, each by its weight, in nats."""
    texts_R: tuple[str, ...] | None = None
    """With `Need.TEXT`."""
    places_N2: "Tensor | None" = None
    """With `Need.TEXT`: the characters `[start, end)` of its row's text that each target stands for. The end of text
    stands for none, after the last; targets that share a character have it both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSum:
    """A loss before it is divided: the caller divides by the global count."""

    total: "Tensor"
    count: "Tensor"
    """Targets that carry loss, or pairs of rows."""
    parts: "Mapping[str, Tensor]"
    """What the total is the sum of, by name, without a graph."""


class Objective(Protocol):
    """What a student is trained towards."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it has to be told; an experiment that cannot is refused when it is built."""
        ...

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The loss summed over the targets that carry loss, or over the pairs."""
        ...


@runtime_checkable
class Learns(Protocol):
    """An objective with weights of its own, which are learnt beside the student's and are gone after the training."""

    def begun(self, seed: int, device: "torch_device") -> "tuple[Objective, list[Tensor]]":
        """It as a training begins with it, and those weights: they follow the gradient of its loss."""
        ...


class Guide(Protocol):
    """A model whose own predictions are at hand where a student learns."""

    @property
    def id(self) -> str:
        """Fingerprint of its weights and arithmetic."""
        ...

    def view(self, batch: "Mapping[str, Tensor]") -> View:
        """What it would have said at each target of a packed batch (`training.rows.collate`)."""
        ...


Write: TypeAlias = Callable[[Sequence[Example], Sampling, Sequence[int]], list[str | None]]
"""What the student, as it is now, answers to each example's messages, by a seed each; None where it was cut off."""


class Feed(Protocol):
    """Where the rows of a batch come from."""

    def __call__(self, examples: Sequence[Example], write: Write, done: float, rng: Random) -> list[Example]:
        """What is learnt from in place of these examples, as many; `done` is the share of the training, 0..1."""
        ...


@runtime_checkable
class FeedBegun(Feed, Protocol):
    """An adaptive feed in the midst of a training."""

    def validated(self, loss: float) -> None:
        """Told, after each epoch, the validation loss."""
        ...


@runtime_checkable
class AdaptiveFeed(Protocol):
    """A feed that goes by what it fed before, and by the validation loss; each training begins with it anew."""

    def begun(self) -> FeedBegun:
        """It as a training begins with it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """How a student is taught."""

    objective: Objective
    training: Training
    seed: int
    feed: Feed | AdaptiveFeed | None = None
    """What has a say in what each batch is made of; without one it is examples as they are."""
    guide: Guide | None = None
    """Who `Need.GUIDE` means."""
