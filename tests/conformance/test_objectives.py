"""What every objective must keep: a new file in `elad.training.objectives` is tested by being there.

So is one that a method brings in its own file, but for the slow reference, which is the method's own to test.
"""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

import objective_kit
import pytest
import slow_objectives
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_kit import NAMES, OBJECTIVES, ROOM, Made, kind_of, live, made, seen_of, through_weights
from room_kit import check_settings, parsed
from torch import Tensor

from elad.errors import ConfigError
from elad.kinds import build, kinds
from elad.learning import Full, Need, Objective
from elad.training.trainer import in_common


def those(fit: Callable[[Objective], bool]) -> Any:
    """The objectives that a test is about."""
    found = [(one, name) for one, name in zip(OBJECTIVES, NAMES, strict=True) if fit(one)]
    return pytest.mark.parametrize("objective", [one for one, _ in found], ids=[name for _, name in found])


def known(objective: Objective) -> bool:
    """Whether there is a slow reference for it."""
    return kind_of(objective) in slow_objectives.REFERENCES


every_objective = those(lambda one: True)
every_known_one = those(known)
every_guided_one = those(lambda one: Need.GUIDE in one.needs)
seeds = st.integers(0, 2**31)
few = settings(max_examples=10)


def guided(objective: Objective, seed: int, **how: Any) -> tuple[Made, Tensor]:
    """A batch and all logits of its guide, whatever is seen of them."""
    batch = made(seed, objective.needs | {Need.GUIDE}, **how)
    assert isinstance(batch.targets.view, Full)
    return (batch if Need.GUIDE in objective.needs else batch.but(view=None)), batch.targets.view.logits_NV


def sees_top(objective: Any) -> bool:
    """Whether it makes do with a guide's likeliest tokens."""
    kind = kind_of(objective)
    if kind == "weighted":
        return all(sees_top(term.objective) for term in objective.of.values())
    return objective.tau == 1 if kind == "soft" else kind != "dac_kl"


def check_against_loops(objective: Objective, batch: Made, guide_NV: Tensor) -> None:
    """Its value, and how steeply that changes in a few directions."""
    ready = live(objective)
    spots = slow_objectives.spots_of(batch, guide_NV, ready)
    before = [] if batch.targets.reference_R is None else batch.targets.reference_R.tolist()
    value, gradient = batch.loss(ready)
    assert value == pytest.approx(slow_objectives.slow(objective, spots, before), rel=1e-4, abs=1e-5)
    carried = batch.targets.mask_N
    for seed in range(3):
        direction = torch.randn(batch.logits_NV.shape, generator=torch.Generator().manual_seed(seed))
        around = [
            slow_objectives.slow(objective, slow_objectives.moved(spots, (step * direction[carried]).tolist()), before)
            for step in (1e-5, -1e-5)
        ]
        slope = float((gradient * direction)[carried].sum())
        assert slope == pytest.approx((around[0] - around[1]) / 2e-5, rel=1e-3, abs=1e-4)


def test_every_kind_has_a_slow_reference() -> None:
    assert {kind_of(one) for one in OBJECTIVES if ":" not in kind_of(one)} == slow_objectives.REFERENCES


@every_known_one
@few
@given(seed=seeds)
def test_value_and_gradient_are_those_of_plain_loops(objective: Objective, seed: int) -> None:
    check_against_loops(objective, *guided(objective, seed))


@every_known_one
@few
@given(seed=seeds, top=st.integers(1, 11))
def test_of_the_likeliest_tokens_too(objective: Objective, seed: int, top: int) -> None:
    if Need.GUIDE in objective.needs and sees_top(objective):
        batch, guide_NV = guided(objective, seed)
        check_against_loops(objective, batch.but(view=seen_of(guide_NV, top)), guide_NV)


@those(lambda one: known(one) and Need.GUIDE in one.needs)
@few
@given(seed=seeds)
def test_an_equal_guide_leaves_what_the_tokens_alone_cost(objective: Objective, seed: int) -> None:
    batch, guide_NV = guided(objective, seed)
    spots = slow_objectives.spots_of(batch, guide_NV, live(objective))
    share = slow_objectives.hard_share(objective)
    least = share * sum(spot.weight * slow_objectives.surprise(spot) for spot in spots)
    equal, gradient = batch.but(view=Full(logits_NV=batch.logits_NV + 3.0)).loss(live(objective))
    assert equal == pytest.approx(least, rel=1e-5, abs=1e-5)
    if not share and kind_of(objective) != "total_variation":  # that has a kink there
        assert gradient.abs().max() < 1e-5
    assert batch.loss(live(objective))[0] >= least - 1e-5


def test_what_the_student_was_leaves_log_2_a_pair() -> None:
    objective = build(ROOM, "dpo", "objective")
    batch = made(8, objective.needs)
    said = slow_objectives.spots_of(batch, batch.logits_NV, objective)
    before = [-sum(one.weight * slow_objectives.surprise(one) for one in said if one.row == row) for row in range(4)]
    assert batch.but(reference_R=torch.tensor(before)).loss(objective)[0] == pytest.approx(2 * log(2), rel=1e-5)


@every_objective
@few
@given(seed=seeds)
def test_masked_targets_play_no_part_and_an_empty_mask_has_a_graph(objective: Objective, seed: int) -> None:
    ready, batch = live(objective), made(seed, objective.needs)
    value, gradient = batch.loss(ready)
    mask_N = batch.targets.mask_N
    assert (gradient[~mask_N] == 0).all()
    heard = [bool(row.abs().sum() > 0) for row in gradient[mask_N]]
    assert all(heard) if known(objective) else any(heard)
    other = torch.where(mask_N[:, None], batch.logits_NV, torch.randn_like(batch.logits_NV))
    ids_N = torch.where(mask_N, batch.targets.ids_N, (batch.targets.ids_N + 1) % 11)
    assert batch.but(other, ids_N=ids_N).loss(ready)[0] == pytest.approx(value, rel=1e-6)
    nothing = batch.but(mask_N=torch.zeros_like(mask_N))
    assert nothing.loss(ready)[0] == 0
    assert (nothing.loss(ready)[1] == 0).all()
    assert int(ready(nothing.logits_NV, nothing.targets).count) == 0


@every_objective
@few
@given(seed=seeds)
def test_the_parts_sum_to_the_whole_and_what_is_given_stays_as_it_was(objective: Objective, seed: int) -> None:
    batch, same = made(seed, objective.needs), made(seed, objective.needs)
    loss = live(objective)(batch.logits_NV.requires_grad_(), batch.targets)
    assert loss.total.item() == pytest.approx(sum(part.item() for part in loss.parts.values()), rel=1e-5, abs=1e-6)
    assert not any(part.requires_grad for part in loss.parts.values())
    counted = 2 if Need.PAIRS in objective.needs else int(batch.targets.mask_N.sum())
    assert int(loss.count) == counted
    assert batch.loss(live(objective))[0] == same.loss(live(objective))[0]


@every_objective
def test_all_rows_at_once_are_each_alone_and_in_any_order(objective: Objective) -> None:
    ready, batch = live(objective), made(3, objective.needs)
    together = through_weights(ready, batch, [0, 1, 2, 3])
    alone = [[0, 1], [2, 3]] if Need.PAIRS in objective.needs else [[0], [1], [2], [3]]
    for parts in (alone, alone[::-1], [[2, 3, 0, 1]]):
        for whole, summed in zip(together, through_weights(ready, batch, *parts), strict=True):
            torch.testing.assert_close(summed, whole, rtol=1e-4, atol=1e-5)


def test_two_processes_sum_up_to_one(tmp_path: Path) -> None:
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    script = Path(objective_kit.__file__)
    source = str(Path(import_module("elad").__file__ or "").parents[1])
    path = os.pathsep.join([source, str(script.parent)])
    both = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path)], env=environment | {"PYTHONPATH": path}
        )
        for rank in range(2)
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    for objective, found in zip(OBJECTIVES, first, strict=True):
        total, count, gradient = through_weights(live(objective), made(3, objective.needs), [0, 1, 2, 3])
        expected = torch.cat([torch.stack([total, count]), gradient.flatten()]) / count
        torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-5)


@every_guided_one
@few
@given(seed=seeds, more=st.integers(1, 5))
def test_a_vocabulary_that_is_padded_to_another_size_is_trimmed_and_renormalised(
    objective: Objective, seed: int, more: int
) -> None:
    ready, (batch, guide_NV) = live(objective), guided(objective, seed)
    value, gradient = batch.loss(ready)
    padding = torch.randn(len(guide_NV), more)
    for student_NV, theirs_NV in (
        (batch.logits_NV, torch.cat([guide_NV, padding], -1)),
        (torch.cat([batch.logits_NV, padding], -1), guide_NV),
    ):
        trimmed_NV, view = in_common(student_NV, Full(logits_NV=theirs_NV))
        again = batch.but(trimmed_NV, view=view).loss(ready)
        assert again[0] == pytest.approx(value, rel=1e-6)
        torch.testing.assert_close(again[1], gradient)


@every_objective
def test_the_end_of_text_carries_loss_though_it_is_the_padding_token(objective: Objective) -> None:
    batch = made(4, objective.needs)
    ends = batch.but(ids_N=torch.zeros_like(batch.targets.ids_N), mask_N=torch.ones_like(batch.targets.mask_N))
    every = 2 if Need.PAIRS in objective.needs else len(ends.targets.ids_N)
    assert int(live(objective)(ends.logits_NV, ends.targets).count) == every
    heard = ends.loss(live(objective))[1].abs().sum(-1) > 0
    assert heard.all() if known(objective) else heard.any()


@every_known_one
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_ten_thousand_in_few_bits_are_computed_in_float32(objective: Objective, dtype: torch.dtype) -> None:
    batch, guide_NV = guided(objective, 9, scale=1e4)
    batch, guide_NV = batch.but(batch.logits_NV.to(dtype)), guide_NV.to(dtype)
    if Need.GUIDE in objective.needs:
        batch = batch.but(view=Full(logits_NV=guide_NV))
    spots = slow_objectives.spots_of(batch, guide_NV, live(objective))
    before = [] if batch.targets.reference_R is None else batch.targets.reference_R.tolist()
    value, gradient = batch.loss(live(objective))
    assert value == pytest.approx(slow_objectives.slow(objective, spots, before), rel=1e-3, abs=1e-3)
    assert gradient.isfinite().all()
    assert live(objective)(batch.logits_NV, batch.targets).total.dtype == torch.float32


@every_objective
def test_what_it_is_told_matters(objective: Objective) -> None:
    batch, ready = made(6, objective.needs), live(objective)
    value, _ = batch.loss(ready)
    other = made(7, objective.needs).targets
    if Need.GUIDE in objective.needs:
        assert batch.but(view=other.view).loss(ready)[0] != pytest.approx(value, rel=1e-3)
    if Need.REFERENCE in objective.needs:
        assert batch.but(reference_R=other.reference_R).loss(ready)[0] != pytest.approx(value, rel=1e-3)
    if Need.PAIRS in objective.needs:
        assert batch.part([1, 0, 3, 2]).loss(ready)[0] != pytest.approx(value, rel=1e-3)


@every_objective
def test_what_it_needs_and_is_not_told_is_said(objective: Objective) -> None:
    batch = made(6, objective.needs).but(view=None, reference_R=None, texts_R=None, places_N2=None)
    if objective.needs:
        with pytest.raises(ValueError, match=r"the objective `\w+` (needs|learns)"):
            batch.loss(live(objective))


@every_objective
@few
@given(seed=seeds, offset=st.floats(-50, 50))
def test_a_constant_on_all_logits_changes_nothing(objective: Objective, seed: int, offset: float) -> None:
    ready, (batch, guide_NV) = live(objective), guided(objective, seed)
    value, _ = batch.loss(ready)
    assert batch.but(batch.logits_NV + offset).loss(ready)[0] == pytest.approx(value, rel=1e-3, abs=1e-4)
    if Need.GUIDE in objective.needs:
        moved = batch.but(view=Full(logits_NV=guide_NV + offset))
        assert moved.loss(ready)[0] == pytest.approx(value, rel=1e-3, abs=1e-4)


@every_objective
@few
@given(seed=seeds)
def test_a_target_counts_by_its_weight(objective: Objective, seed: int) -> None:
    ready, batch = live(objective), made(seed, objective.needs)
    weights_N = batch.targets.weights_N
    value, gradient = batch.loss(ready)
    if Need.PAIRS not in objective.needs:  # a pair's margin is weighted, not its loss
        twice = batch.but(weights_N=2 * weights_N).loss(ready)
        assert twice[0] == pytest.approx(2 * value, rel=1e-5)
        torch.testing.assert_close(twice[1], 2 * gradient)
    place = int(batch.targets.mask_N.nonzero()[0])
    without = batch.but(weights_N=weights_N.index_fill(0, torch.tensor([place]), 0.0)).loss(ready)
    assert (without[1][place] == 0).all()
    assert without[0] != pytest.approx(value, rel=1e-6)


@those(lambda one: known(one) and Need.GUIDE in one.needs)
@few
@given(seed=seeds)
def test_the_likeliest_tokens_bound_it_from_below_or_are_refused(objective: Objective, seed: int) -> None:
    ready, (batch, guide_NV) = live(objective), guided(objective, seed)
    bounds: list[float] = []
    for top in range(1, 12):
        seen = batch.but(view=seen_of(guide_NV.double(), top))
        if not sees_top(objective):
            with pytest.raises(ConfigError, match=rf"objective: '\w+' .* no more than its {top} likeliest tokens"):
                seen.loss(ready)
        else:
            bounds.append(seen.loss(ready)[0])
    assert all(wider >= fewer * (1 - 1e-5) - 1e-5 for fewer, wider in pairwise(bounds))
    assert bounds[-1:] in ([], [pytest.approx(batch.loss(ready)[0], rel=1e-4, abs=1e-5)])


@every_objective
def test_settings_are_written_down_and_built_again(objective: Objective) -> None:
    check_settings(ROOM, "objective", objective)


@pytest.mark.parametrize("kind", kinds(ROOM))
def test_the_card_tells_the_evidence(kind: str) -> None:
    card = ast.get_docstring(parsed(ROOM, kind)) or ""
    assert "Evidence: " in card or kind == "sft"
    assert re.search(r"\[(P|S|2|R|D)\b", card) or kind == "sft"
