"""Generalised Jensen-Shannon divergence: both are held against their mixture, so that it is bounded.

Evidence: beta * KL(guide || m) + (1 - beta) * KL(student || m) with m = beta * guide + (1 - beta) * student, of which
beta 0.1, 0.5 and 0.9 were tried (generalized knowledge distillation, Agarwal et al., 2024, arXiv 2306.13649,
equation 1) [S]; one of those that Multi-Granularity Semantic Revision compares [2].
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from elad.errors import require
from elad.learning import LossSum, Need, Targets
from elad.training.objectives.distributions import compared, kl, mixed, summed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Jsd"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jsd:
    """JSD(beta) of guide and student, in nats, summed over the targets that carry loss, each by its weight.

    Range: 0 to the entropy of (beta, 1 - beta), at most log 2, for each target.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    beta: float = 0.5
    """The share of the guide in the mixture. Near 0 the divergence is about beta times `forward_kl`, near 1 about
    1 - beta times `reverse_kl`, and at the ends it is 0 for any two: there other implementations (TRL) give the
    whole `forward_kl` and `reverse_kl`, which are to be asked for by name here."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        ends = "above 0 (that is forward_kl) and below 1 (that is reverse_kl)"
        require(0 < self.beta < 1, "objective.beta", ends, self.beta)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.GUIDE})

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over masked-in targets. Of a `TopK` view: a lower bound."""
        student_NC, guide_NC = compared(logits_NV, targets, "jsd")
        both_NC = mixed(guide_NC, student_NC, self.beta)
        values_N = self.beta * kl(guide_NC, both_NC) + (1 - self.beta) * kl(student_NC, both_NC)
        return summed("jsd", values_N, targets)
