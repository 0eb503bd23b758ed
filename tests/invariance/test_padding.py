"""Packed trees and refilled slots beside what a padded batch of plain transformers gives, whichever side is padded."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from families import FAMILIES, opinionated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elad.records import Sampling
from elad.students.decoding import Decoder

END, PAD, MOST = 0, 7, 6
QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = st.lists(st.lists(st.integers(1, 19), min_size=1, max_size=9), min_size=2, max_size=6)
"""Padding is a word like any other: one that is seen changes what comes after it."""
each_side = pytest.mark.parametrize("side", ["left", "right"])


@pytest.fixture(params=["llama", "gpt2", "mistral"], scope="module")
def model(request: pytest.FixtureRequest) -> Any:
    return opinionated(FAMILIES[request.param])


def decoder(model: Any) -> Decoder:
    return Decoder(model=model, ends=frozenset([END]), context=128, slots=2, most_tokens=4096)


@torch.no_grad()
def batched(model: Any, rows: Sequence[Sequence[int]], side: str) -> list[torch.Tensor]:
    """Log-probabilities after each token of each row, from one forward pass over all of them."""
    longest = max(map(len, rows))
    blanks = [[False] * (longest - len(row)) for row in rows]
    seen = [
        [*blank, *[True] * len(row)][:: 1 if side == "left" else -1] for row, blank in zip(rows, blanks, strict=True)
    ]
    ids, mask = torch.full((len(rows), longest), PAD), torch.tensor(seen)
    ids[mask] = torch.tensor([token for row in rows for token in row])
    positions = (mask.long().cumsum(-1) - 1).clamp(min=0)
    logs = model(input_ids=ids, attention_mask=mask.long(), position_ids=positions).logits.log_softmax(-1)
    return [own[kept] for own, kept in zip(logs, mask, strict=True)]


def greedy(model: Any, rows: Sequence[Sequence[int]], side: str) -> list[list[int]]:
    """What is written after each row, the whole batch padded and run anew for each token."""
    new: list[list[int]] = [[] for _ in rows]
    while open_ := [i for i, own in enumerate(new) if len(own) < MOST and own[-1:] != [END]]:
        for i, logs in zip(open_, batched(model, [[*rows[i], *new[i]] for i in open_], side), strict=True):
            new[i].append(int(logs[-1].argmax()))
    return new


@each_side
@QUICK
@given(rows=ROWS)
def test_scores_are_those_of_a_padded_batch(model: Any, side: str, rows: list[list[int]]) -> None:
    found = decoder(model).score(rows, [len(row) - 1 for row in rows])
    for row, values, logs in zip(rows, found, batched(model, rows, side), strict=True):
        assert values == pytest.approx([float(logs[at, token]) for at, token in enumerate(row[1:])], abs=1e-4)


@each_side
@QUICK
@given(rows=ROWS)
def test_what_is_written_is_what_a_padded_batch_writes(model: Any, side: str, rows: list[list[int]]) -> None:
    written = decoder(model).generate(rows, [0] * len(rows), Sampling(max_tokens=MOST))
    assert [one.tokens for one in written] == greedy(model, rows, side)


def test_padding_that_is_seen_would_show(model: Any) -> None:
    (alone,), (padded,) = (batched(model, [row], "left") for row in ([1, 2], [PAD, 1, 2]))
    assert not torch.allclose(alone[-1], padded[-1], atol=1e-2)
