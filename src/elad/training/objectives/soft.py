"""Soft labels: cross-entropy of the target's tokens beside the softened predictions of a guide.

Evidence: (1 - lambda) * cross-entropy + lambda * KL(softmax(guide / tau) || softmax(student / tau)) over target
tokens, lambda 0.3 and tau 2 as in Mentor-KD's script, without a factor tau^2 (Lee et al., 2024, arXiv 2410.09037;
its released code) [P]. The factor, which keeps the size of the gradient as tau grows, is Hinton et al.'s (2015,
arXiv 1503.02531) and is there for comparison. The released mask masks nothing for T5, so that padding counts there
[P]; here it cannot.
"""

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from elad.errors import require
from elad.learning import LossSum, Need, Targets
from elad.training.objectives.distributions import compared, kl, summed, whole

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Soft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Soft:
    """Cross-entropy and softened KL, in nats, summed over the targets that carry loss, each by its weight."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    lambda_: float = 0.3
    """The weight of the KL, 0..1; the rest is that of the cross-entropy."""
    tau: float = 2.0
    """What the logits of both are divided by before they are compared."""
    scaled: bool = False
    """Whether the KL is multiplied by tau^2."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(0 <= self.lambda_ <= 1, "objective.lambda", "from 0 to 1", self.lambda_)
        require(isfinite(self.tau) and self.tau > 0, "objective.tau", "above 0", self.tau)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.GUIDE})

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over masked-in targets, in two parts, `cross_entropy` and `kl`.

        Of a `TopK` view the KL is a lower bound. Raises: ConfigError for one where tau is not 1: what a softened
        distribution is depends on every logit.
        """
        from torch.nn.functional import cross_entropy

        if self.tau == 1:
            student_NC, guide_NC = compared(logits_NV, targets, "soft")
        else:
            guide_NV = whole(targets, "soft", f"softens whole distributions with tau {self.tau:g}")
            student_NC, guide_NC = (one.float().div(self.tau).log_softmax(-1) for one in (logits_NV, guide_NV))
        hard_N = (1 - self.lambda_) * cross_entropy(logits_NV.float(), targets.ids_N, reduction="none")
        factor = self.tau**2 if self.scaled else 1.0
        hard = summed("cross_entropy", hard_N, targets)
        soft = summed("kl", self.lambda_ * factor * kl(guide_NC, student_NC), targets)
        return LossSum(total=hard.total + soft.total, count=hard.count, parts={**hard.parts, **soft.parts})
