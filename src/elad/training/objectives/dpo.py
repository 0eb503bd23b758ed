"""Direct preference optimisation: the better row of each pair is to gain more than the worse one.

Evidence: -log sigmoid(beta * (gain of the better - gain of the worse)), a row's gain being the logarithm of its
probability over that before training (Rafailov et al., 2023, arXiv 2305.18290, equation 7) [S]. The reference is
computed once, before the first step. A target's weight multiplies what it adds to its row's gain: ours [D].
"""

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from elad.errors import require
from elad.learning import LossSum, Need, Targets

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Dpo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dpo:
    """Negative log-sigmoid of the margin between the rows of a pair, summed over the pairs."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    beta: float = 0.1
    """How closely the student is held to what it was: the margin, in nats, is multiplied by it."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(isfinite(self.beta) and self.beta > 0, "objective.beta", "above 0", self.beta)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.PAIRS, Need.REFERENCE})

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over the pairs of which both rows have a target that carries loss.

        Each adds log 2 while the student is what it was. Edge: without any such pair 0 with a graph.
        Raises: ValueError for targets without a reference.
        """
        from torch.nn.functional import cross_entropy, logsigmoid

        reference_R = targets.reference_R
        if reference_R is None:
            raise ValueError("the objective `dpo` needs what the student gave each row before, and there is nothing")
        said_N = -cross_entropy(logits_NV.float(), targets.ids_N, reduction="none")
        said_N = (said_N * targets.weights_N).masked_fill(~targets.mask_N, 0.0)
        empty_R = reference_R.new_zeros(len(reference_R), dtype=said_N.dtype)
        better_P, worse_P = (empty_R.index_add(0, targets.rows_N, said_N) - reference_R).view(-1, 2).unbind(-1)
        carried_R = empty_R.index_add(0, targets.rows_N, targets.mask_N.to(said_N.dtype)) > 0
        both_P = carried_R.view(-1, 2).all(-1)
        total = -logsigmoid(self.beta * (better_P - worse_P)).masked_fill(~both_P, 0.0).sum()
        return LossSum(total=total, count=both_P.sum(), parts={"dpo": total.detach()})
