"""How long a model's rows may be, by its configuration."""

from typing import Any

import pytest

from elad.students.inspection import length


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
