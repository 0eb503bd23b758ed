"""Total variation: how much mass would have to move for the student to be its guide.

Evidence: f-DISTILL learns towards it (Wen et al., 2023, arXiv 2307.15190; from memory) [R], and it is one of those
that Multi-Granularity Semantic Revision compares [2].
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from elad.learning import LossSum, Need, Targets
from elad.training.objectives.distributions import compared, summed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TotalVariation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalVariation:
    """Half the absolute differences of probabilities, 0..1, summed over the targets that carry loss, by weight."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.GUIDE})

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over masked-in targets. Of a `TopK` view: a lower bound."""
        student_NC, guide_NC = compared(logits_NV, targets, "total_variation")
        return summed("total_variation", (guide_NC.exp() - student_NC.exp()).abs().sum(-1) / 2, targets)
