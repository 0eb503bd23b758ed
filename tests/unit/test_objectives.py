"""Objectives: what they refuse and in which words, and what is particular to one of them."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from objective_kit import ROOM, made

from elad.errors import ConfigError, StudentError
from elad.kinds import build, describe
from elad.learning import Need, TopK
from elad.training.objectives.clipping import Band, between, clipped, fixed
from elad.training.objectives.weighted import Term, Weighted
from elad.training.trainer import in_common


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kind": "jsd", "beta": 0}, r"objective\.beta: must be above 0 \(that is forward_kl\) .*, not 0"),
        ({"kind": "jsd", "beta": 1.0}, r"objective\.beta: must be .* below 1 \(that is reverse_kl\), not 1"),
        ({"kind": "jsd", "bata": 0.5}, r"objective\.bata: unknown key for jsd; did you mean 'beta'\?"),
        ({"kind": "skewed_forward_kl", "alpha": 0}, r"objective\.alpha: must be above 0 \(that is forward_kl\)"),
        ({"kind": "skewed_reverse_kl", "alpha": 1}, r"objective\.alpha: must be above 0 \(that is reverse_kl\)"),
        ({"kind": "soft", "lambda": 1.2}, r"objective\.lambda: must be from 0 to 1, not 1\.2"),
        ({"kind": "soft", "tau": 0}, r"objective\.tau: must be above 0, not 0"),
        ({"kind": "dpo", "beta": -1}, r"objective\.beta: must be above 0, not -1"),
        ({"kind": "dpo", "beta": float("nan")}, r"objective\.beta: must be above 0, not nan"),
        ({"kind": "dac_kl", "lower": 1}, r"objective\.lower: must be from 0 to below upper, not 1"),
        ({"kind": "dac_kl", "upper": 1.5}, r"objective\.upper: must be at most 1, not 1\.5"),
        ({"kind": "weighted", "of": {}}, r"objective\.of: must be at least one objective, not empty"),
        ({"kind": "weighted", "of": ["sft"]}, r"objective\.of: expected objectives with weights, .* got \['sft'\]"),
        ({"kind": "weighted", "of": {"sfd": 1}}, r"objective\.of\.sfd\.kind: unknown kind 'sfd'; did you mean 'sft'"),
        ({"kind": "weighted", "of": {"sft": "much"}}, r"objective\.of\.sft: expected a weight .*'much'"),
        ({"kind": "weighted", "of": {"sft": 0}}, r"objective\.of\.sft: must be a weight above 0, not 0"),
        ({"kind": "weighted", "of": {"jsd": {"beta": 3}}}, r"objective\.beta: must be above 0"),
        ({"kind": "weighted", "of": {"sft": 1, "dpo": 1}}, r"dpo is counted by pairs of rows and sft by targets"),
    ],
)
def test_what_cannot_be_used_is_named(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build(ROOM, settings, "objective")


def test_a_term_is_a_weight_or_a_mapping_and_has_a_name_of_its_own_where_it_says_its_kind() -> None:
    terms = {"sft": 2, "jsd": {"beta": 0.1}, "other": {"kind": "jsd", "beta": 0.9, "weight": 0.5}}
    one = build(ROOM, {"kind": "weighted", "of": terms}, "objective")
    assert {name: term.weight for name, term in one.of.items()} == {"sft": 2.0, "jsd": 1.0, "other": 0.5}
    assert one.needs == {Need.GUIDE}
    batch = made(2, one.needs)
    loss = one(batch.logits_NV, batch.targets)
    alone = {name: weight * each(batch.logits_NV, batch.targets).total for name, (weight, each) in one.of.items()}
    assert {name: part.item() for name, part in loss.parts.items()} == {name: one.item() for name, one in alone.items()}
    assert build(ROOM, describe(one), "objective") == one
    assert Weighted(of={"dpo": Term(1.0, build(ROOM, "dpo", "objective"))}).needs == {Need.PAIRS, Need.REFERENCE}


def test_a_guide_that_names_a_token_which_the_student_has_not_is_refused() -> None:
    view = TopK(ids_NK=torch.tensor([[3, 12]]), logs_NK=torch.tensor([[-0.5, -1.5]]))
    with pytest.raises(StudentError, match=r"guide: .* is number 12, and the student has 11"):
        in_common(torch.randn(1, 11), view)
    logits_NV = torch.randn(1, 13)
    assert in_common(logits_NV, view) == (logits_NV, view)


def test_a_guide_of_likeliest_tokens_that_leave_nothing_makes_no_loss_infinite() -> None:
    batch = made(2, frozenset({Need.GUIDE}), top=2)
    sure = TopK(ids_NK=torch.tensor([[4, 5]]).repeat(9, 1), logs_NK=torch.tensor([[0.0, -torch.inf]]).repeat(9, 1))
    for kind in ("forward_kl", "jsd", "total_variation", "skewed_forward_kl", "skewed_reverse_kl"):
        value, gradient = batch.but(view=sure).loss(build(ROOM, kind, "objective"))
        assert 0 < value < 1e3
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("lower", "upper", "size", "kept"),
    [(0.0, 1.0, 5, (0, 5)), (0.75, 1.0, 5, (0, 2)), (0.99, 1.0, 49152, (0, 492)), (0.5, 0.75, 5, (1, 3))],
)
def test_quantiles_are_of_classes(lower: float, upper: float, size: int, kept: tuple[int, int]) -> None:
    assert between(lower, upper, size) == kept
    guide_NV = torch.randn(3, size).log_softmax(-1)
    values = torch.quantile(guide_NV, torch.tensor([lower, upper]), dim=-1, interpolation="nearest")[..., None]
    inside = (guide_NV >= values[0]) & (guide_NV <= values[1])
    if size < 100:  # in a large one the nearest class may be the one beside
        assert (fixed(guide_NV, lower, upper).isposinf() == inside).all()
    assert int(fixed(guide_NV, lower, upper).isposinf().sum()) == 3 * (kept[1] - kept[0])


@given(seed=st.integers(0, 2**31))
def test_a_narrower_band_never_costs_more_and_the_whole_one_is_forward_kl(seed: int) -> None:
    batch = made(seed, frozenset({Need.GUIDE}))
    student_NV, guide_NV = batch.logits_NV.log_softmax(-1), made(seed + 1, frozenset()).logits_NV.log_softmax(-1)
    wide_NV = 3 * made(seed + 2, frozenset()).logits_NV
    narrow_NV = wide_NV - made(seed + 3, frozenset()).logits_NV.abs()
    ids_N = batch.targets.ids_N
    narrow_N, wide_N, whole_N = (
        clipped(student_NV, guide_NV, edges_NV, ids_N)
        for edges_NV in (narrow_NV, wide_NV, torch.full_like(wide_NV, torch.inf))
    )
    assert (narrow_N <= wide_N + 1e-5).all()
    assert (wide_N <= whole_N + 1e-5).all()
    torch.testing.assert_close(whole_N, (guide_NV.exp() * (guide_NV - student_NV)).sum(-1), rtol=1e-4, atol=1e-5)


def test_a_learnt_band_begins_wide_narrows_as_it_learns_and_keeps_the_fixed_one() -> None:
    one = build(ROOM, {"kind": "dac_kl", "lower": 0.8, "upper": 0.95, "learned": True}, "objective")
    ready, weights = one.begun(4, torch.device("cpu"))
    batch = made(2, one.needs, size=60)
    student_NV, guide_NV = batch.logits_NV.log_softmax(-1), made(3, frozenset(), size=60).logits_NV.log_softmax(-1)
    band = Band(0.8, 0.95, 4)
    order_NV = guide_NV.sort(-1, descending=True).indices
    optimizer = torch.optim.AdamW(band.parameters(), lr=0.05)
    widths: list[float] = []
    for _ in range(12):
        edges_NV = band(student_NV, guide_NV)
        assert (edges_NV.isposinf() == fixed(guide_NV, 0.8, 0.95).isposinf()).all()
        top_N1, bottom_N1 = band.widened(student_NV, guide_NV, order_NV)
        widths.append((bottom_N1 - top_N1).mean().item())
        optimizer.zero_grad()
        clipped(student_NV, guide_NV, edges_NV, batch.targets.ids_N).sum().backward()
        optimizer.step()
    assert all(later < earlier for earlier, later in pairwise(widths))
    assert (
        batch.loss(ready)[0] > batch.loss(build(ROOM, {"kind": "dac_kl", "lower": 0.8, "upper": 0.95}, "objective"))[0]
    )
    assert [tuple(weight.shape) for weight in weights] == [tuple(weight.shape) for weight in band.parameters()]
    with pytest.raises(ValueError, match="has to be begun"):
        one(batch.logits_NV, batch.targets)
