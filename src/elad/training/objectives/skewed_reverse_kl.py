"""Skewed reverse KL: a little of the student is mixed into the guide, so that no class costs without bound.

Evidence: KL(student || alpha * student + (1 - alpha) * guide), alpha 0.1 (DistiLLM, Ko et al., 2024, arXiv 2402.03898;
from memory) [R]; one of those that Multi-Granularity Semantic Revision compares [2].
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from elad.errors import require
from elad.learning import LossSum, Need, Targets
from elad.training.objectives.distributions import compared, kl, mixed, summed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SkewedReverseKl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewedReverseKl:
    """That divergence in nats, at most -log alpha each, summed over the targets that carry loss, by weight."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    alpha: float = 0.1
    """The share of the student in the mixture."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(0 < self.alpha < 1, "objective.alpha", "above 0 (that is reverse_kl) and below 1", self.alpha)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.GUIDE})

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over masked-in targets. Of a `TopK` view: a lower bound."""
        student_NC, guide_NC = compared(logits_NV, targets, "skewed_reverse_kl")
        return summed("skewed_reverse_kl", kl(student_NC, mixed(student_NC, guide_NC, self.alpha)), targets)
