"""Sampling whose draws belong to a row, not to a batch."""

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor
from transformers import LogitsProcessor

from elad.records import Sampling


class PerRowSampling(LogitsProcessor):
    """Turns greedy decoding into sampling: each row draws from a generator of its own.

    `generate` with `do_sample=True` draws all rows from one global generator, so that what a prompt
    gets depends on its neighbours. Here a row's token is the inverse of its cumulative distribution
    at a uniform number from the row's own seed; every other token's score becomes minus infinity.
    """

    def __init__(self, seeds: Sequence[int], sampling: Sampling) -> None:
        self.draws = [Random(seed) for seed in seeds]
        self.temperature = sampling.temperature
        self.top_p = sampling.top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores `[rows, vocabulary]` with only the drawn token left."""
        probs_BV = torch.softmax(scores.float() / self.temperature, dim=-1)
        if self.top_p < 1.0:
            probs_BV = self._nucleus(probs_BV)
        cumulative_BV = probs_BV.cumsum(-1)
        uniform = torch.tensor([draw.random() for draw in self.draws], device=scores.device)
        point_B1 = uniform[:, None] * cumulative_BV[:, -1:]
        token_B1 = torch.searchsorted(cumulative_BV, point_B1, right=True)
        token_B1 = token_B1.clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, token_B1, 0.0)

    def _nucleus(self, probs_BV: Tensor) -> Tensor:
        """The smallest set of most likely tokens whose mass reaches `top_p`; the rest is zero."""
        sorted_BV, order_BV = probs_BV.sort(dim=-1, descending=True)
        before_BV = sorted_BV.cumsum(-1) - sorted_BV
        return probs_BV.scatter(1, order_BV, sorted_BV.where(before_BV < self.top_p, 0.0))
