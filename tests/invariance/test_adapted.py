"""What is decoded through unmerged adapters, as a writer does it, is what the model gives for each row alone."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
import torch
from families import ADAPTED, FAMILIES, adapted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elad.records import Sampling
from elad.students import decoding
from elad.students.decoding import Decoder
from elad.students.memory import Memory
from elad.students.sampling import draw

QUICK = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROWS = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=9), min_size=1, max_size=6)


@pytest.fixture(params=ADAPTED, scope="module")
def model(request: pytest.FixtureRequest) -> Any:
    return adapted(FAMILIES[request.param])


def decoder(model: Any, slots: int = 2) -> Decoder:
    return Decoder(model=model, ends=frozenset([0]), context=128, slots=slots, most_tokens=4096)


@torch.no_grad()
def alone(model: Any, row: Sequence[int]) -> torch.Tensor:
    """Log-probabilities after each token of a row, from a plain forward pass."""
    return model(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)


@QUICK
@given(rows=ROWS, size=st.integers(1, 20))
def test_scores_are_those_of_each_row_alone(model: Any, rows: list[list[int]], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PACK", size)
        found = decoder(model).score(rows, [len(row) - 1 for row in rows])
    for row, values in zip(rows, found, strict=True):
        logs = alone(model, row)
        assert values == pytest.approx([float(logs[at, token]) for at, token in enumerate(row[1:])], abs=1e-4)


@QUICK
@given(rows=ROWS, size=st.integers(1, 20), slots=st.integers(1, 4), temperature=st.sampled_from([0.0, 1.0]))
def test_what_is_written_is_drawn_from_each_row_alone(
    model: Any, rows: list[list[int]], size: int, slots: int, temperature: float
) -> None:
    sampling, one = Sampling(temperature=temperature, max_tokens=7), decoder(model, slots)
    one.memory = Memory(10_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PACK", size)
        written = one.generate(rows, range(len(rows)), sampling)
        again = one.generate(rows, range(len(rows)), sampling)  # from what it has in mind by now
    assert [reply.tokens for reply in again] == [reply.tokens for reply in written]
    for seed, (row, reply) in enumerate(zip(rows, written, strict=True)):
        logs, luck = alone(model, [*row, *reply.tokens])[len(row) - 1 : -1], Random(seed)
        assert reply.tokens == [draw(own[None], [luck], sampling)[0] for own in logs]
        assert len(reply.tokens) == 7 or reply.tokens[-1] == 0
        assert reply.nats == pytest.approx(-sum(map(float, logs[range(len(logs)), reply.tokens])), abs=1e-3)


def test_it_is_taken_and_its_adapters_are_not_left_out(model: Any) -> None:
    decoder(model).check()
    (found,) = decoder(model).score([[1, 2, 3]], [2])
    with model.disable_adapter():
        (without,) = decoder(model).score([[1, 2, 3]], [2])
    assert all(abs(one - other) > 0.01 for one, other in zip(found, without, strict=True))
