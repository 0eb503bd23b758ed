"""Drawing tokens, so that a draw belongs to its row and not to its batch.

Takes nothing of this package: a vLLM server draws by a copy of this file (`seeded`).
"""

# torch leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from math import log
from random import Random
from typing import Protocol, cast

import torch
from torch import Tensor

NO_TOKEN = -1
"""What is drawn from logits that are no numbers."""
_BELOW_ONE = 1 - 2**-24
"""The largest number of single precision below 1."""
SEED, TEMPERATURE, TOP_P = "elad_seed", "elad_temperature", "elad_top_p"
"""The names by which a vLLM server is told how to draw for a request."""


class Bounds(Protocol):
    """What a draw goes by; `elad.records.Sampling` is one."""

    @property
    def temperature(self) -> float: ...

    @property
    def top_p(self) -> float: ...


def draw(logits_BV: Tensor, randoms: Sequence[Random], sampling: Bounds) -> list[int]:
    """One token for each row of logits; at temperature 0 the likeliest, the first of equals.

    A row's token is the inverse of its cumulative distribution at a uniform number from the row's own generator:
    one generator for all rows would make what a prompt gets depend on its neighbours.
    """
    if sampling.temperature == 0:
        top_B, token_B = logits_BV.max(dim=-1)
        return cast("list[int]", token_B.where(~top_B.isnan(), NO_TOKEN).tolist())
    probs_BV = torch.softmax(logits_BV.float() / sampling.temperature, dim=-1)
    known_B = ~probs_BV[:, 0].isnan()  # softmax makes one that is no number of all
    if sampling.top_p < 1.0:
        probs_BV = _nucleus(probs_BV, sampling.top_p)
    cumulative_BV = probs_BV.cumsum(-1)
    # In single precision a number just below 1 is 1, which would draw the last token whatever its probability.
    uniform_B = torch.tensor([min(random.random(), _BELOW_ONE) for random in randoms], device=logits_BV.device)
    total_B1 = cumulative_BV[:, -1:]
    token_B1 = torch.searchsorted(cumulative_BV, uniform_B[:, None] * total_B1, right=True)
    token_B1 = token_B1.clamp(max=logits_BV.shape[-1] - 1)
    return cast("list[int]", token_B1[:, 0].where(known_B, NO_TOKEN).tolist())


def surprises(logits_BV: Tensor, tokens: Sequence[int]) -> list[float]:
    """How unlikely each row's token was: -log p in nats, at temperature 1.

    Edge: logits that are no numbers count as knowing nothing, log of the vocabulary's size.
    """
    token_B1 = torch.tensor(tokens, device=logits_BV.device).clamp(min=0)[:, None]
    nats_B = logits_BV.float().logsumexp(-1) - logits_BV.gather(-1, token_B1)[:, 0].float()
    return cast("list[float]", nats_B.nan_to_num(nan=log(logits_BV.shape[-1])).clamp(min=0).tolist())


def undecided(logits_BV: Tensor) -> Tensor:
    """Entropy of each row's distribution at temperature 1, as a share of the uniform one's, 0..1.

    Edge: logits that are no numbers give none.
    """
    probs_BV = logits_BV.float().softmax(-1)
    entropy_B = -torch.xlogy(probs_BV, probs_BV).sum(-1)
    return (entropy_B / log(logits_BV.shape[-1])).clamp(0.0, 1.0)


def _nucleus(probs_BV: Tensor, top_p: float) -> Tensor:
    """The smallest set of most likely tokens whose mass reaches `top_p`; the rest is zero."""
    sorted_BV, order_BV = probs_BV.sort(dim=-1, descending=True)
    before_BV = sorted_BV.cumsum(-1) - sorted_BV
    return probs_BV.scatter(1, order_BV, sorted_BV.where(before_BV < top_p, 0.0))
