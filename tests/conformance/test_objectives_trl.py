"""Our objectives against TRL's own code on the same logits, with what it does otherwise spelt out.

TRL divides inside: its divergences by the tokens that carry loss (`batchmean`), its preference loss by the pairs.
Ours are sums beside their counts, so the sum over the count is what is compared.
"""

from collections import defaultdict
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from objective_kit import ROOM, Made, made

from elad.kinds import build
from elad.learning import Full, Need

pytestmark = [
    pytest.mark.skipif(find_spec("trl") is None, reason="needs the module trl (extra `bench`) to compare with"),
    pytest.mark.filterwarnings("ignore"),  # it warns of its own experiments, and of what it builds on
]
SEEDS = range(5)


def batch_of(seed: int, *needs: Need) -> Made:
    batch = made(seed, frozenset(needs))
    return batch.but(weights_N=torch.ones_like(batch.targets.weights_N))


def compared(batch: Made, beta: float) -> tuple[float, torch.Tensor]:
    """TRL's generalised JSD of one sequence and its gradient."""
    view = batch.targets.view
    assert isinstance(view, Full)
    logits_NV = batch.logits_NV.detach().requires_grad_()
    labels_N = batch.targets.ids_N.masked_fill(~batch.targets.mask_N, -100)
    loss = import_module("trl.experimental.gkd.gkd_trainer").GKDTrainer.generalized_jsd_loss(
        logits_NV[None], view.logits_NV[None], labels_N[None], beta=beta
    )
    (gradient,) = torch.autograd.grad(loss, logits_NV)
    return loss.item(), gradient


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("beta", "settings"),
    [
        (0.1, {"kind": "jsd", "beta": 0.1}),
        (0.5, {"kind": "jsd"}),
        (0.9, {"kind": "jsd", "beta": 0.9}),
        # At its ends TRL does not go on to the limit, which is 0, but gives the whole divergence of one way.
        (0.0, {"kind": "forward_kl"}),
        (1.0, {"kind": "reverse_kl"}),
    ],
)
def test_divergences_are_those_of_gkd(seed: int, beta: float, settings: dict[str, Any]) -> None:
    batch = batch_of(seed, Need.GUIDE)
    theirs, gradient = compared(batch, beta)
    objective = build(ROOM, settings, "objective")
    count = int(objective(batch.logits_NV, batch.targets).count)
    value, ours = batch.loss(objective)
    assert value / count == pytest.approx(theirs, abs=1e-5)
    torch.testing.assert_close(ours / count, gradient, rtol=1e-4, atol=1e-6)


class Said:
    """A model as TRL's preference trainer calls it: log-probabilities of the labels, 0 where there is none."""

    training = True

    def __init__(self, logs_RT: torch.Tensor) -> None:
        self.logs_RT = logs_RT

    def __call__(self, **_: Any) -> SimpleNamespace:
        zeros_RT = torch.zeros_like(self.logs_RT)
        return SimpleNamespace(log_probs=self.logs_RT, entropy=zeros_RT, mean_logits=zeros_RT, is_top1=zeros_RT > 0)


def preferred(batch: Made, beta: float) -> tuple[float, torch.Tensor]:
    """TRL's sigmoid loss of two pairs and its gradient; it wants all better rows first, then all worse ones."""
    told = batch.targets
    assert told.reference_R is not None
    logits_NV = batch.logits_NV.detach().requires_grad_()
    said_N = logits_NV.log_softmax(-1).gather(-1, told.ids_N[:, None])[:, 0] * told.mask_N
    mask_RT = torch.stack([(told.rows_N == row) & told.mask_N for row in (0, 2, 1, 3)])
    reference_R = told.reference_R[[0, 2, 1, 3]]
    before = torch.zeros(4, 1, dtype=torch.bool)  # of the prompt; nothing is predicted there
    inputs = {
        "input_ids": torch.cat([before.long(), told.ids_N.repeat(4, 1)], -1),
        "attention_mask": torch.ones(4, 1 + len(told.ids_N), dtype=torch.long),
        "completion_mask": torch.cat([before, mask_RT], -1).long(),
        "ref_chosen_logps": reference_R[:2],
        "ref_rejected_logps": reference_R[2:],
    }

    def same(tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    trainer: Any = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(device="cpu", gather=same, gather_for_metrics=same),
        aux_loss_enabled=False, ld_alpha=None, precompute_ref_logps=True, f_divergence_type="reverse_kl", beta=beta,
        loss_types=["sigmoid"], loss_weights=[1.0], use_weighting=False,
        _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    model = Said(said_N * mask_RT)
    loss = import_module("trl.trainer.dpo_trainer").DPOTrainer._compute_loss(trainer, model, inputs, False)
    (gradient,) = torch.autograd.grad(loss, logits_NV)
    return loss.item(), gradient


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_the_preference_loss_is_that_of_dpo(seed: int, beta: float) -> None:
    batch = batch_of(seed, Need.PAIRS, Need.REFERENCE)
    theirs, gradient = preferred(batch, beta)
    value, ours = batch.loss(build(ROOM, {"kind": "dpo", "beta": beta}, "objective"))
    assert value / 2 == pytest.approx(theirs, abs=1e-5)
    torch.testing.assert_close(ours / 2, gradient, rtol=1e-4, atol=1e-6)
