"""Vectors of token rows: where a student's hidden states lie.

Evidence: a mean over positions that grows linearly in weight, so that what has seen more counts more, is SGPT's
(Muennighoff, 2022, arXiv 2202.08904) [S]; a random projection, which keeps distances nearly as they are
(Johnson and Lindenstrauss, 1984; from memory) [R], keeps a pool of them small [D].
"""

# torch leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from elad.students.decoding import Decoder

WIDTH = 128
"""Numbers of a vector, at most: distances are then off by some 6 %."""


def vectors(decoder: Decoder, rows: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
    """A vector for each row, in the rows' order; zeros for an empty one."""
    width = decoder.model.config.get_text_config().hidden_size
    out: list[tuple[float, ...]] = [(0.0,) * min(width, WIDTH)] * len(rows)
    for place, states_TD in decoder.states(rows):
        weights_T = torch.arange(1, len(states_TD) + 1, device=states_TD.device, dtype=torch.float32)
        mean_D = (weights_T / weights_T.sum()) @ states_TD.float()
        narrow = mean_D.cpu() @ _projection(width) if width > WIDTH else mean_D
        out[place] = tuple(narrow.tolist())
    return out


@lru_cache(maxsize=2)
def _projection(width: int) -> Tensor:
    """The same numbers each time, `[width, WIDTH]`."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(width, WIDTH, generator=generator) / WIDTH**0.5
