"""Symmetric KL: the mean of forward and reverse KL.

Evidence: half of Jeffreys' divergence (1946; from memory) [R], one of those that Multi-Granularity Semantic Revision
compares [2]; whether they take the mean or the sum could not be read, and the mean, whose size is that of either, is
ours [D].
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from elad.learning import LossSum, Need, Targets
from elad.training.objectives.distributions import compared, kl, summed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SymmetricKl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SymmetricKl:
    """Half of both, in nats, summed over the targets that carry loss, each by its weight."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.GUIDE})

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over masked-in targets, in two parts. Of a `TopK` view: a lower bound."""
        student_NC, guide_NC = compared(logits_NV, targets, "symmetric_kl")
        forward = summed("forward_kl", kl(guide_NC, student_NC) / 2, targets)
        reverse = summed("reverse_kl", kl(student_NC, guide_NC) / 2, targets)
        parts = {**forward.parts, **reverse.parts}
        return LossSum(total=forward.total + reverse.total, count=forward.count, parts=parts)
