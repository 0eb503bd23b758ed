"""Reverse KL: the student is to give mass only where its guide does.

Evidence: what MiniLLM learns towards, there by policy gradients (Gu et al., 2024, arXiv 2306.08543) [S], and one end
of generalized knowledge distillation (Agarwal et al., 2024, arXiv 2306.13649) [S]; one of those that Multi-Granularity
Semantic Revision compares [2]. Through the student's own answers (`feed: on_policy`) no gradient flows: ours [D].
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from elad.learning import LossSum, Need, Targets
from elad.training.objectives.distributions import compared, kl, summed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ReverseKl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseKl:
    """KL(student || guide), in nats, summed over the targets that carry loss, each by its weight."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.GUIDE})

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over masked-in targets. Of a `TopK` view: a lower bound."""
        student_NC, guide_NC = compared(logits_NV, targets, "reverse_kl")
        return summed("reverse_kl", kl(student_NC, guide_NC), targets)
