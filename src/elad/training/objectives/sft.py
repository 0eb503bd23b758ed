"""Supervised fine-tuning: the cross-entropy of the target's tokens."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elad.learning import LossSum, Need, Targets

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Sft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sft:
    """Negative log-likelihood, in nats, summed over the targets that carry loss, each by its weight."""

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset()

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over masked-in targets; computed in float32.

        Edge: an all-false mask gives 0 with a graph, so that `backward` works.
        """
        from torch.nn.functional import cross_entropy

        nll_N = cross_entropy(logits_NV.float(), targets.ids_N, reduction="none")
        total = (nll_N * targets.weights_N * targets.mask_N).sum()
        return LossSum(total=total, count=targets.mask_N.sum(), parts={"nll": total.detach()})
