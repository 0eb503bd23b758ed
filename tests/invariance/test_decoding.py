"""Packed trees and refilled slots give what the model gives for each row alone: several families, random rows."""

from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config

from elad.records import Sampling
from elad.students import decoding
from elad.students.decoding import Decoder
from elad.students.prefixes import packs
from elad.students.sampling import NO_TOKEN, draw

WORDS = 20
SIZES: dict[str, Any] = {"vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
FAMILIES = {
    "llama": LlamaConfig(**SIZES, **HEADS),
    "qwen2": Qwen2Config(**SIZES, **HEADS),
    "gpt2": GPT2Config(vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=128),
    "mistral": MistralConfig(**SIZES, **HEADS, sliding_window=4),
    "gemma3": Gemma3TextConfig(
        **SIZES, **HEADS, head_dim=8, sliding_window=3, layer_types=["sliding_attention", "full_attention"]
    ),
}
ENDS = frozenset({0})
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ROWS = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=9), min_size=1, max_size=8)
"""Few words, so that rows begin alike, are equal, and lie within one another."""


@pytest.fixture(params=FAMILIES, scope="module")
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(1)
    built = AutoModelForCausalLM.from_config(FAMILIES[request.param]).eval()
    for name, weight in built.named_parameters():
        if "norm" not in name and "ln_" not in name:
            torch.nn.init.normal_(weight, std=0.2)
    return built


@torch.no_grad()
def alone(model: Any, row: Sequence[int]) -> torch.Tensor:
    """Log-probabilities after each token of a row, from a plain forward pass."""
    return model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)


@QUICK
@given(rows=ROWS, size=st.integers(1, 20), data=st.data())
def test_scores_are_those_of_each_row_alone(model: Any, rows: list[list[int]], size: int, data: st.DataObject) -> None:
    targets = [data.draw(st.integers(0, len(row))) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PACK", size)
        found = Decoder(model=model, ends=ENDS, context=128, slots=2).score(rows, targets)
    for row, target, values in zip(rows, targets, found, strict=True):
        plain = alone(model, row)
        wanted = [] if target == len(row) else range(len(row) - target, len(row))
        assert values == pytest.approx([float(plain[at - 1, row[at]]) for at in wanted], abs=1e-4)


@QUICK
@given(rows=ROWS, size=st.integers(1, 20), slots=st.integers(1, 4), temperature=st.sampled_from([0.0, 1.0]))
def test_what_is_written_does_not_depend_on_slots_or_trees(
    model: Any, rows: list[list[int]], size: int, slots: int, temperature: float
) -> None:
    sampling = Sampling(temperature=temperature, max_tokens=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PACK", size)
        patch.setattr(decoding, "MOST_TOKENS", 5 * size)
        together = Decoder(model=model, ends=ENDS, context=128, slots=slots).generate(rows, range(len(rows)), sampling)
    single = Decoder(model=model, ends=ENDS, context=128, slots=1)
    for place, row in enumerate(rows):
        assert together[place] == single.generate([row], [place], sampling)[0]
        assert together[place] == naive(model, row, place, sampling)


def naive(model: Any, row: Sequence[int], seed: int, sampling: Sampling) -> list[int]:
    """Token by token, the whole row run anew each time."""
    luck, new = Random(seed), list[int]()
    while len(new) < sampling.max_tokens and (not new or new[-1] not in ENDS):
        logits = alone(model, [*row, *new])[-1:]
        new += draw(logits, [luck], sampling)
    return new


def test_an_ending_token_is_the_last_one_and_until_is_obeyed(model: Any) -> None:
    sampling = Sampling(temperature=1.0, max_tokens=40)
    rows = [[1, 2], [3], [1, 2, 3]] * 3
    whole = Decoder(model=model, ends=ENDS, context=128, slots=4).generate(rows, range(9), sampling)
    assert any(row[-1] == 0 for row in whole)
    assert all(0 not in row[:-1] for row in whole)
    cut = Decoder(model=model, ends=ENDS, context=128, slots=4).generate(
        rows, range(9), sampling, lambda i, ids: i % 2 == 0 and len(ids) == 2
    )
    assert cut == [row[:2] if i % 2 == 0 else row for i, row in enumerate(whole)]


def test_empty_rows_get_nothing(model: Any) -> None:
    decoder = Decoder(model=model, ends=ENDS, context=128, slots=4)
    assert decoder.generate([], [], Sampling()) == []
    assert decoder.generate([[], [1]], [0, 1], Sampling(max_tokens=1))[0] == []
    assert decoder.score([[], [1]], [0, 1]) == [(), ()]


def test_a_model_that_gives_no_numbers_writes_nothing(model: Any) -> None:
    broken = deepcopy(model)
    torch.nn.init.constant_(broken.get_input_embeddings().weight, torch.nan)
    decoder = Decoder(model=broken, ends=ENDS, context=128, slots=2)
    assert decoder.generate([[1], [1, 2], [3]], [0, 0, 0], Sampling(max_tokens=3)) == [[NO_TOKEN]] * 3


@given(rows=ROWS, size=st.integers(1, 20))
def test_trees_hold_every_row_once_and_each_beginning_once(rows: list[list[int]], size: int) -> None:
    found = list(packs(rows, size))
    assert sorted(place for pack in found for place in pack.rows) == list(range(len(rows)))
    for pack in found:
        assert len(pack.tokens) <= size or len(pack.rows) == 1 or len({tuple(rows[i]) for i in pack.rows}) == 1
        begins = {tuple(rows[i][: end + 1]) for i in pack.rows for end in range(len(rows[i]))}
        assert len(pack.tokens) == len(begins)
        for place, path in zip(pack.rows, pack.paths, strict=True):
            assert [pack.tokens[node] for node in path] == rows[place]
            assert [pack.depths[node] for node in path] == list(range(len(path)))
