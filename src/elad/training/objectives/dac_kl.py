"""Distribution adaptive clipping KL: the guide is heeded where it is dense, and at the target's own token.

Evidence: an MLP looks at both distributions of a position and gives an upper and a lower quantile; the guide's classes
between them and the target's class are kept, the rest is clipped, and KL is taken on what is kept
(Multi-Granularity Semantic Revision, Liu et al., 2024, arXiv 2407.10068) [2 for that, R for the detail]. Ours [D]:
quantiles are of the guide's probabilities, over classes; what is clipped stays as one class together, so that the
divergence is a true one, never above `forward_kl`; the MLP, its inputs and edges (`clipping`); and what bounds it.
Descent on this loss can but narrow a band, as a part of a divergence taken apart never falls: left alone it would
keep the target's class and nothing else. So the learned band begins wide and is never narrower than the fixed one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from elad.errors import require
from elad.learning import LossSum, Need, Objective, Targets
from elad.training.objectives.distributions import summed, whole

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as torch_device

    from elad.training.objectives.clipping import Band

__all__ = ["DacKl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DacKl:
    """KL(guide || student) of the kept classes and the others together, in nats, summed over the targets by weight."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    lower: float = 0.99
    """Classes are kept from this quantile of the guide's probabilities..."""
    upper: float = 1.0
    """...to this one; 1 keeps the likeliest."""
    learned: bool = False
    """Whether a small network widens the band by what it sees at each target; else it is the same everywhere."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(0 <= self.lower < self.upper, "objective.lower", "from 0 to below upper", self.lower)
        require(self.upper <= 1, "objective.upper", "at most 1", self.upper)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.GUIDE})

    def begun(self, seed: int, device: "torch_device") -> "tuple[Objective, list[Tensor]]":
        """With `learned`, it with a fresh network drawn by the seed, and the network's weights."""
        if not self.learned:
            return self, []
        from elad.training.objectives.clipping import Band

        band = Band(self.lower, self.upper, seed).to(device)
        return Begun(band), list(band.parameters())

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over masked-in targets.

        Raises: ConfigError for a `TopK` view, which has no quantiles; ValueError where the network is not there yet.
        """
        from elad.training.objectives.clipping import clipped, fixed

        if self.learned:
            raise ValueError("the objective `dac_kl` with learned quantiles has to be begun before it is called")
        student_NV, guide_NV = _both(logits_NV, targets)
        edges_NV = fixed(guide_NV, self.lower, self.upper)
        return summed("dac_kl", clipped(student_NV, guide_NV, edges_NV, targets.ids_N), targets)


@dataclass(frozen=True, slots=True)
class Begun:
    """The same with a network that is being learnt."""

    band: "Band"

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.GUIDE})

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum and the count over masked-in targets."""
        from elad.training.objectives.clipping import clipped

        student_NV, guide_NV = _both(logits_NV, targets)
        return summed("dac_kl", clipped(student_NV, guide_NV, self.band(student_NV, guide_NV), targets.ids_N), targets)


def _both(logits_NV: "Tensor", targets: Targets) -> "tuple[Tensor, Tensor]":
    guide_NV = whole(targets, "dac_kl", "clips by quantiles of the whole vocabulary")
    return logits_NV.float().log_softmax(-1), guide_NV.float().log_softmax(-1)
