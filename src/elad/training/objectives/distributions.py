"""What objectives that learn from a guide share: two distributions over the same classes, and sums over targets.

Letters of shapes: those of `elad.learning`, and C classes: the vocabulary, or the guide's K tokens and the others
together. Everything is in float32 and in logarithms; nothing here takes the logarithm of a softmax.
"""

from math import log
from typing import TYPE_CHECKING

from elad.errors import ConfigError
from elad.learning import Full, LossSum, Targets, TopK

if TYPE_CHECKING:
    from torch import Tensor


def compared(logits_NV: "Tensor", targets: Targets, name: str) -> "tuple[Tensor, Tensor]":
    """Natural log-probabilities `[N, C]` of the student, with a graph, and of its guide, without one.

    Of a `TopK` view the classes are its K tokens and one more, all others together. An f-divergence of these is never
    above that of the whole vocabularies (data processing inequality), while the one of the K tokens alone is not even
    a divergence and may be negative. What is left for the others is as exact as the K logarithms are (1 less their
    sum: in float64 here), and less of it than float32 can tell from nothing, 1.2e-7, counts as that much.
    Raises: ValueError for targets without a view.
    """
    view = targets.view
    if isinstance(view, TopK):
        return _in_buckets(logits_NV.float().log_softmax(-1), view)
    return logits_NV.float().log_softmax(-1), whole(targets, name, "").float().log_softmax(-1)


def whole(targets: Targets, name: str, why: str) -> "Tensor":
    """The guide's logits `[N, V]` of the whole vocabulary.

    Raises: ValueError for targets without a view, ConfigError where it shows less, with `why` that is not enough.
    """
    if targets.view is None:
        raise ValueError(f"the objective `{name}` learns from what a guide predicts, and there is nothing")
    if not isinstance(targets.view, Full):
        shown = f"the guide shows no more than its {targets.view.ids_NK.shape[-1]} likeliest tokens"
        raise ConfigError(f"objective: {name!r} {why}, and {shown}")
    return targets.view.logits_NV.detach()


def _in_buckets(student_NV: "Tensor", view: TopK) -> "tuple[Tensor, Tensor]":
    import torch

    student_NK, guide_NK = student_NV.gather(-1, view.ids_NK), view.logs_NK.detach().double()
    if view.ids_NK.shape[-1] == student_NV.shape[-1]:
        return student_NK, guide_NK.log_softmax(-1).float()
    others_N1 = student_NV.scatter(-1, view.ids_NK, -torch.inf).logsumexp(-1, keepdim=True)
    left_N1 = -guide_NK.logsumexp(-1, keepdim=True).expm1()
    left_N1 = left_N1.clamp_min(torch.finfo(torch.float32).eps).log()
    return torch.cat([student_NK, others_N1], -1), torch.cat([guide_NK, left_N1], -1).log_softmax(-1).float()


def kl(first_NC: "Tensor", second_NC: "Tensor") -> "Tensor":
    """The Kullback-Leibler divergence `[N]` of the second distribution from the first, in nats.

    Both are log-probabilities. Edge: a class to which the first gives nothing adds nothing, whatever the second does.
    """
    mass_NC = first_NC.exp()
    return (mass_NC * (first_NC - second_NC).masked_fill(mass_NC == 0, 0.0)).sum(-1)


def mixed(first_NC: "Tensor", second_NC: "Tensor", share: float) -> "Tensor":
    """Log-probabilities `[N, C]` of a mixture: `share` of the first, above 0 and below 1, and the rest the second."""
    from torch import logaddexp

    return logaddexp(first_NC + log(share), second_NC + log(1 - share))


def summed(name: str, values_N: "Tensor", targets: Targets) -> LossSum:
    """The sum of what each target adds, by its weight, over those that carry loss; one part, called `name`."""
    total = (values_N * targets.weights_N).masked_fill(~targets.mask_N, 0.0).sum()
    return LossSum(total=total, count=targets.mask_N.sum(), parts={name: total.detach()})
