"""Forward KL: the student is to give mass wherever its guide does.

Evidence: the classic objective of distillation (Hinton et al., 2015, arXiv 1503.02531), one of those that
Multi-Granularity Semantic Revision compares [2]. The guide's entropy is subtracted, so that 0 means equal.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from elad.learning import LossSum, Need, Targets
from elad.training.objectives.distributions import compared, kl, summed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ForwardKl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardKl:
    """KL(guide || student), in nats, summed over the targets that carry loss, each by its weight."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.GUIDE})

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over masked-in targets. Of a `TopK` view: a lower bound."""
        student_NC, guide_NC = compared(logits_NV, targets, "forward_kl")
        return summed("forward_kl", kl(guide_NC, student_NC), targets)
