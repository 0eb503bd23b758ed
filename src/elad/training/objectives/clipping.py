"""What `dac_kl` keeps of a distribution: fixed quantiles, or a band that a small network widens.

An edge says how far inside the band a class lies: it is kept to the part sigmoid(edge), infinity being all of it.
Letters of shapes: those of `elad.learning`. Everything here is ours [D] (`dac_kl` has the evidence).
"""

# torch leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false

from math import ceil, floor, log

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad

from elad.training.objectives.distributions import kl

SEEN = 16
"""The guide's likeliest classes that the network looks at."""
HIDDEN = 32
SOFTNESS = 0.02
"""Of an edge, in depths."""


def clipped(student_NV: Tensor, guide_NV: Tensor, edges_NV: Tensor, ids_N: Tensor) -> Tensor:
    """KL `[N]` of the guide's kept classes, and of what is clipped as one class more; both are log-probabilities.

    The targets `ids_N` are kept whatever their edge. A class that is kept in part counts as two, one of them kept:
    what comes out is a divergence however soft the edges, and never above that of all classes.
    """
    edges_NV = edges_NV.scatter(-1, ids_N[:, None], torch.inf)
    kept_NV, rest_NV = logsigmoid(edges_NV), logsigmoid(-edges_NV)
    student_NC, guide_NC = (
        torch.cat([one_NV + kept_NV, (one_NV + rest_NV).logsumexp(-1, keepdim=True)], -1)
        for one_NV in (student_NV, guide_NV)
    )
    return kl(guide_NC, student_NC)


def between(lower: float, upper: float, size: int) -> tuple[int, int]:
    """First and last, plus one, of the classes between two quantiles, counted from the likeliest of `size`."""
    return size - 1 - floor(upper * (size - 1)), size - ceil(lower * (size - 1))


def fixed(guide_NV: Tensor, lower: float, upper: float) -> Tensor:
    """Edges `[N, V]`: infinite between the quantiles of the guide's probabilities, minus infinity elsewhere."""
    first, end = between(lower, upper, guide_NV.shape[-1])
    kept = guide_NV.topk(end).indices[:, first:]
    return torch.full_like(guide_NV, -torch.inf).scatter(-1, kept, torch.inf)


class Band(nn.Module):
    """The fixed band, widened at both ends by what a network sees of guide and student.

    The depth of a class is log(its place) / log V, 0 for the guide's likeliest and 1 for the least likely one.
    """

    def __init__(self, lower: float, upper: float, seed: int) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.inner, self.outer = nn.Linear(2 * SEEN + 2, HIDDEN), nn.Linear(HIDDEN, 2)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, student_NV: Tensor, guide_NV: Tensor) -> Tensor:
        """Edges `[N, V]` with a graph that leads to the network alone, not to the student."""
        student_NV = student_NV.detach()
        order_NV = guide_NV.sort(-1, descending=True).indices
        top_N1, bottom_N1 = self.widened(student_NV, guide_NV, order_NV)
        size = guide_NV.shape[-1]
        first, end = between(self.lower, self.upper, size)
        places_V = torch.arange(size, device=guide_NV.device)
        depths_V = places_V.add(1).log() / log(size)
        edges_NV = torch.where(places_V < first, depths_V - top_N1, bottom_N1 - depths_V) / SOFTNESS
        edges_NV = edges_NV.masked_fill((places_V >= first) & (places_V < end), torch.inf)
        return torch.empty_like(edges_NV).scatter(-1, order_NV, edges_NV)

    def widened(self, student_NV: Tensor, guide_NV: Tensor, order_NV: Tensor) -> tuple[Tensor, Tensor]:
        """The depths `[N, 1]` where the band begins and ends; at first halfway from the fixed ones to 0 and to 1."""
        size = guide_NV.shape[-1]
        likeliest = order_NV[:, :SEEN]
        looks = [one_NV.gather(-1, likeliest).exp() for one_NV in (guide_NV, student_NV)]
        looks = [pad(look, (0, SEEN - look.shape[-1])) for look in looks]
        spread = [kl(one_NV, torch.zeros_like(one_NV))[:, None] / log(size) for one_NV in (guide_NV, student_NV)]
        shares_N2 = self.outer(self.inner(torch.cat([*looks, *spread], -1)).tanh()).sigmoid()
        first, end = between(self.lower, self.upper, size)
        top, bottom = log(first + 1) / log(size), log(end) / log(size)
        return top * shares_N2[:, :1], bottom + (1 - bottom) * shares_N2[:, 1:]
