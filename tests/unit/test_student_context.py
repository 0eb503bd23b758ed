"""How long a model's rows may be, by its configuration and by what is set."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from transformers import BloomConfig, BloomForCausalLM

from elad.asks import Prompt
from elad.errors import ConfigError
from elad.records import Message, Sampling
from elad.students.inspection import context, length
from elad.students.transformers import Transformers
from elad.students.vllm import Vllm

ENGINES = (Transformers(dtype="float32"), Vllm(dtype="float32", python=sys.executable))


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        ({"max_position_embeddings": 2048}, 2048),
        ({"n_positions": 1024}, 1024),
        ({}, None),
        ({"max_position_embeddings": "many"}, None),
        ({"max_position_embeddings": 8192, "rope_scaling": {"rope_type": "llama3", "factor": 4.0}}, 8192),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]},
                "original_max_position_embeddings": 4096,
            },
            4096,
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_parameters": {"rope_type": "longrope", "original_max_position_embeddings": 4096},
            },
            4096,
        ),
        ({"max_position_embeddings": 64, "rope_parameters": {"full_attention": {"rope_type": "default"}}}, 64),
    ],
    ids=str,
)
def test_the_length_is_what_the_model_was_made_for(told: dict[str, Any], tokens: int | None) -> None:
    assert length(told) == tokens


@pytest.mark.parametrize(("most", "tokens"), [(None, 2048), (2047, 2047), (4096, 2048)])
def test_what_is_set_is_a_bound(most: int | None, tokens: int) -> None:
    assert context({"max_position_embeddings": 2048}, most) == tokens


def test_where_the_configuration_does_not_say_it_must_be_set() -> None:
    assert context({}, 64) == 64
    with pytest.raises(ConfigError, match=r"student\.max_length: must be given: the configuration of odd "):
        context({"model_type": "odd"}, None)


@pytest.mark.parametrize("engine", ENGINES, ids=["transformers", "vllm"])
def test_an_engine_keeps_to_what_is_set(engine: Transformers | Vllm, tmp_path: Path) -> None:
    whole = replace(engine, model=str(tiny_model.save(tmp_path)))
    assert whole.open().context == 256
    bounded = replace(whole, max_length=100)
    assert bounded.open().context == 100
    ids = [one.open().id for one in (whole, bounded, replace(whole, max_length=99), replace(whole, max_length=100))]
    assert len(set(ids)) == 3
    assert ids[1] == ids[3]
    assert {end.rpartition("-")[2] for end in ids} == {"float32"}


@pytest.mark.parametrize("engine", ENGINES, ids=["transformers", "vllm"])
def test_an_engine_takes_no_length_for_granted(engine: Transformers | Vllm, tmp_path: Path) -> None:
    words = tiny_model.tokenizer()
    words.save_pretrained(tmp_path)
    config = BloomConfig(vocab_size=len(words), hidden_size=32, n_layer=2, n_head=4, eos_token_id=words.eos_token_id)
    BloomForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"student\.max_length: .*bloom"):
        replace(engine, model=str(tmp_path)).open()


def test_what_is_over_the_bound_does_not_fit(tmp_path: Path) -> None:
    folder, asked = str(tiny_model.save(tmp_path)), [Prompt(messages=(Message(role="user", content="?" * 80),))]
    whole, bounded = (Transformers(model=folder, dtype="float32", max_length=most).open() for most in (None, 90))
    assert [one.generate(asked, Sampling(max_tokens=12))[0].too_long for one in (whole, bounded)] == [False, True]
    assert [len(one.score([(asked[0], "?" * 12)])[0]) for one in (whole, bounded)] == [12, 0]
