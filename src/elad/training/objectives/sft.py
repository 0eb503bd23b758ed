"""Supervised fine-tuning: the cross-entropy of the target's tokens."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elad.protocols import LossSum

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Sft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sft:
    """Negative log-likelihood, in nats, summed over the positions that carry loss."""

    def __call__(self, logits_NV: "Tensor", targets_N: "Tensor", mask_N: "Tensor") -> LossSum:
        """The sum and the count over masked-in positions; computed in float32.

        Edge: an all-false mask gives 0 with a graph, so that `backward` works.
        """
        from torch.nn.functional import cross_entropy

        nll_N = cross_entropy(logits_NV.float(), targets_N, reduction="none")
        total = (nll_N * mask_N).sum()
        return LossSum(total=total, count=mask_N.sum(), parts={"nll": total.detach()})
