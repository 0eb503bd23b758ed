"""Packed trees and refilled slots give what the model gives for each row alone: several families, random rows."""

from collections.abc import Sequence
from copy import deepcopy
from math import inf, isnan, log
from random import Random
from typing import Any

import pytest
import torch
from families import FAMILIES, HEADS, SIZES, WORDS, opinionated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import (
    BloomConfig,
    FalconConfig,
    GPTNeoConfig,
    LlamaConfig,
    MptConfig,
)

from elad.errors import StudentError
from elad.packing.tree import packs
from elad.records import Sampling
from elad.students import decoding
from elad.students.decoding import Decoder
from elad.students.memory import Memory
from elad.students.sampling import NO_TOKEN, draw
from elad.students.slots import Slots
from elad.students.writing import Written

REFUSED = {
    "gpt_neo": GPTNeoConfig(
        vocab_size=WORDS, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]
    ),
    "mpt": MptConfig(vocab_size=WORDS, d_model=32, n_layers=2, n_heads=4),
    "bloom": BloomConfig(vocab_size=WORDS, hidden_size=32, n_layer=2, n_head=4),
    "falcon": FalconConfig(vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True),
}
ENDS = frozenset({0})
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

ROWS = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=9), min_size=1, max_size=8)
"""Few words, so that rows begin alike, are equal, and lie within one another."""


@pytest.fixture(params=FAMILIES, scope="module")
def model(request: pytest.FixtureRequest) -> Any:
    return opinionated(FAMILIES[request.param])


def decoder(model: Any, *, slots: int = 2, most_tokens: int = 4096) -> Decoder:
    return Decoder(model=model, ends=ENDS, context=128, slots=slots, most_tokens=most_tokens)


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
        found = decoder(model).score(rows, targets)
    for row, target, values in zip(rows, targets, found, strict=True):
        plain = alone(model, row)
        wanted = [] if target == len(row) else range(len(row) - target, len(row))
        assert values == pytest.approx([float(plain[at - 1, row[at]]) for at in wanted], abs=1e-4)


@QUICK
@given(rows=ROWS, size=st.integers(1, 20), data=st.data())
def test_entropies_are_those_of_each_row_alone(
    model: Any, rows: list[list[int]], size: int, data: st.DataObject
) -> None:
    targets = [data.draw(st.integers(0, len(row))) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PACK", size)
        patch.setattr(decoding, "_AT_ONCE", 1 + size // 4)
        found = decoder(model).entropies(rows, targets)
    assert list(map(len, found)) == list(map(len, decoder(model).score(rows, targets)))
    for row, target, values in zip(rows, targets, found, strict=True):
        logs = alone(model, row)
        plain = -(logs.exp() * logs).sum(-1) / log(WORDS)
        wanted = [] if target == len(row) else range(len(row) - target, len(row))
        assert values == pytest.approx([float(plain[at - 1]) for at in wanted], abs=1e-4)
        assert all(0 < value < 1 for value in values)


def test_entropies_of_eight_rows_are_those_of_eight_times_one(model: Any) -> None:
    rows = [[1, 2, 3, 4, place, place % 3] for place in range(8)]
    together = decoder(model).entropies(rows, [4] * 8)
    apart = [decoder(model).entropies([row], [4])[0] for row in rows]
    assert together == [pytest.approx(values, abs=1e-5) for values in apart]
    assert len(set(together)) == 8


@QUICK
@given(rows=ROWS, size=st.integers(1, 20))
def test_hidden_states_are_those_of_each_row_alone(model: Any, rows: list[list[int]], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PACK", size)
        found = dict(decoder(model).states([*rows, []]))
    assert set(found) == set(range(len(rows)))
    for place, row in enumerate(rows):
        with torch.no_grad():
            plain = model(input_ids=torch.tensor([row]), output_hidden_states=True).hidden_states[-1][0]
        assert torch.allclose(found[place], plain, atol=1e-4)


@QUICK
@given(rows=ROWS, size=st.integers(1, 20), slots=st.integers(1, 4), temperature=st.sampled_from([0.0, 1.0]))
def test_what_is_written_does_not_depend_on_slots_or_trees(
    model: Any, rows: list[list[int]], size: int, slots: int, temperature: float
) -> None:
    sampling = Sampling(temperature=temperature, max_tokens=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PACK", size)
        many = decoder(model, slots=slots, most_tokens=5 * size)
        together = many.generate(rows, range(len(rows)), sampling)
    single = decoder(model, slots=1)
    for place, row in enumerate(rows):
        by_itself = single.generate([row], [place], sampling)[0]
        wanted = naive(model, row, place, sampling)
        assert together[place].tokens == by_itself.tokens == wanted
        plain = alone(model, [*row, *wanted])[len(row) - 1 : -1]
        nats = -sum(float(logs[token]) for logs, token in zip(plain, wanted, strict=True))
        assert together[place].nats == pytest.approx(nats, abs=1e-3)
        assert by_itself.nats == pytest.approx(nats, abs=1e-3)


@QUICK
@given(rows=ROWS, size=st.integers(1, 20), temperature=st.sampled_from([0.0, 1.0]), data=st.data())
def test_a_guess_changes_nothing_but_what_is_fed(
    model: Any, rows: list[list[int]], size: int, temperature: float, data: st.DataObject
) -> None:
    sampling = Sampling(temperature=temperature, max_tokens=5)
    stop = data.draw(st.sampled_from([9, 3]))
    plain = decoder(model).generate(rows, range(len(rows)), sampling, lambda _, new: len(new) >= stop)
    guesses = [one.tokens[: data.draw(st.integers(0, 5))] + data.draw(st.lists(st.integers(0, 4))) for one in plain]
    many = decoder(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PACK", size)
        guessed = many.generate(rows, range(len(rows)), sampling, lambda _, new: len(new) >= stop, guesses)
    for one, other in zip(guessed, plain, strict=True):
        assert one.tokens == other.tokens
        assert one.nats == pytest.approx(other.nats, abs=1e-3)


def test_a_right_guess_is_not_fed_token_by_token(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, sampling = [[1, 2, 3], [1, 2, 4], [3]], Sampling(max_tokens=4)
    plain = decoder(model).generate(rows, [0] * 3, sampling)
    monkeypatch.setattr(Slots, "step", None)
    guessed = decoder(model).generate(rows, [0] * 3, sampling, guesses=[one.tokens for one in plain])
    assert [one.tokens for one in guessed] == [one.tokens for one in plain]


def naive(model: Any, row: Sequence[int], seed: int, sampling: Sampling) -> list[int]:
    """Token by token, the whole row run anew each time."""
    luck, new = Random(seed), list[int]()
    while len(new) < sampling.max_tokens and (not new or new[-1] not in ENDS):
        logits = alone(model, [*row, *new])[-1:]
        new += draw(logits, [luck], sampling)
    return new


@QUICK
@given(rows=ROWS, size=st.integers(1, 20), data=st.data())
def test_what_goes_on_from_what_was_written_is_not_computed_again(
    model: Any, rows: list[list[int]], size: int, data: st.DataObject
) -> None:
    plain, recalling = decoder(model), decoder(model)
    sampling = Sampling(temperature=1.0, max_tokens=7)
    recalling.memory = Memory(data.draw(st.sampled_from([20, 10_000])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PACK", size)
        written = recalling.generate(rows, range(len(rows)), sampling)
        whole = [[*row, *one.tokens] for row, one in zip(rows, written, strict=True)]
        onward = [
            [*row[: data.draw(st.integers(1, len(row)))], *data.draw(st.lists(st.integers(1, 4), max_size=3))]
            for row in (data.draw(st.sampled_from(whole)) for _ in range(6))
        ]
        targets = [data.draw(st.integers(0, len(row) - 1)) for row in onward]
        scores, entropies = recalling.score(onward, targets), recalling.entropies(onward, targets)
        replies = recalling.generate(onward, range(6), sampling)
    for ours, theirs in zip(scores, plain.score(onward, targets), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    for ours, theirs in zip(entropies, plain.entropies(onward, targets), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    for ours, theirs in zip(replies, plain.generate(onward, range(6), sampling), strict=True):
        assert ours.tokens == theirs.tokens
        assert ours.nats == pytest.approx(theirs.nats, abs=1e-3)


def test_a_recalled_beginning_is_not_fed_again(model: Any) -> None:
    one, fed = decoder(model), list[int]()
    one.memory = Memory(1000)
    (written,) = one.generate([[1, 2, 3, 4, 5, 6]], [0], Sampling(max_tokens=8))
    forward = type(model).forward

    def counting(self: Any, input_ids: Any, **more: Any) -> Any:
        fed.append(input_ids.numel())
        return forward(self, input_ids=input_ids, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "forward", counting)
        one.score([[1, 2, 3, 4, 5, 6, *written.tokens[:3], 7, 8]], [1])
    assert fed == [1]


def test_rows_of_no_numbers_are_not_kept(model: Any) -> None:
    broken = deepcopy(model)
    torch.nn.init.constant_(broken.get_input_embeddings().weight, torch.nan)
    one = decoder(broken)
    one.memory = Memory(1000)
    one.generate([[1, 2]], [0], Sampling(max_tokens=3))
    assert one.memory.known([1, 2, 3]).length == 0


def test_an_ending_token_is_the_last_one_and_until_is_obeyed(model: Any) -> None:
    sampling = Sampling(temperature=1.0, max_tokens=40)
    rows = [[1, 2], [3], [1, 2, 3]] * 3
    whole = [one.tokens for one in decoder(model, slots=4).generate(rows, range(9), sampling)]
    assert any(row[-1] == 0 for row in whole)
    assert all(0 not in row[:-1] for row in whole)
    cut = decoder(model, slots=4).generate(rows, range(9), sampling, lambda i, ids: i % 2 == 0 and len(ids) == 2)
    assert [one.tokens for one in cut] == [row[:2] if i % 2 == 0 else row for i, row in enumerate(whole)]


def test_empty_rows_get_nothing(model: Any) -> None:
    assert decoder(model).generate([], [], Sampling()) == []
    assert decoder(model).generate([[], [1]], [0, 1], Sampling(max_tokens=1))[0] == Written()
    assert decoder(model).score([[], [1]], [0, 1]) == [(), ()]


def test_a_model_that_gives_no_numbers_writes_nothing(model: Any) -> None:
    broken = deepcopy(model)
    torch.nn.init.constant_(broken.get_input_embeddings().weight, torch.nan)
    decoder(broken).check()
    written = decoder(broken).generate([[1], [1, 2], [3]], [0, 0, 0], Sampling(max_tokens=3))
    assert [one.tokens for one in written] == [[NO_TOKEN]] * 3
    assert [one.nats for one in written] == pytest.approx([log(WORDS)] * 3)


@QUICK
@given(rows=st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=6), min_size=1, max_size=8))
def test_a_row_of_no_numbers_spoils_no_other(rows: list[list[int]]) -> None:
    model = opinionated(FAMILIES["llama"])
    broken = deepcopy(model)
    with torch.no_grad():
        broken.get_input_embeddings().weight[5] = torch.nan
    seeds, targets, sampling = range(len(rows)), [1] * len(rows), Sampling(temperature=1.0, max_tokens=6)
    whole, found = (
        [written.tokens for written in decoder(one).generate(rows, seeds, sampling)] for one in (model, broken)
    )
    wanted, values = (decoder(one).score(rows, targets) for one in (model, broken))
    for i, row in enumerate(rows):
        (entropy,) = decoder(broken).entropies([row], [1])[0]
        assert isnan(entropy) == (5 in row[:-1])
        if 5 in row[:-1]:
            assert values[i] == pytest.approx([torch.nan], nan_ok=True)
        else:
            assert values[i] == pytest.approx(wanted[i], abs=1e-4)
        end = 0 if 5 in row else whole[i].index(5) + 1 if 5 in whole[i] else len(whole[i])
        assert found[i][:end] == whole[i][:end]
        assert found[i][end:] == [NO_TOKEN] * (end < len(whole[i]))


def test_what_decodes_side_by_side_as_it_does_alone_is_taken(model: Any) -> None:
    decoder(model).check()


@pytest.mark.parametrize("family", REFUSED)
def test_what_would_come_out_wrong_is_refused(family: str) -> None:
    with pytest.raises(StudentError, match=f"{family}: .*cannot be decoded here"):
        decoder(opinionated(REFUSED[family])).check()


def test_layers_without_keys_and_values_are_refused() -> None:
    model = opinionated(LlamaConfig(**SIZES, **HEADS))
    model.config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(StudentError, match="linear_attention cannot be decoded here"):
        decoder(model)


@given(rows=ROWS, size=st.integers(1, 20), largest=st.one_of(st.integers(1, 20), st.just(inf)))
def test_trees_hold_every_row_once_and_each_beginning_once(rows: list[list[int]], size: int, largest: float) -> None:
    found = list(packs(rows, size, largest=largest))
    assert sorted(place for pack in found for place in pack.paths) == list(range(len(rows)))
    assert sum(len({tuple(rows[i]) for i in pack.paths}) for pack in found) == len({tuple(row) for row in rows})
    for pack in found:
        first = len(rows[next(iter(pack.paths))])
        assert len(pack.tokens) <= max(size, first, min(2 * first, largest))
        begins = {tuple(rows[i][: end + 1]) for i in pack.paths for end in range(len(rows[i]))}
        assert len(pack.tokens) == len(begins)
        for place, path in pack.paths.items():
            assert [pack.tokens[node] for node in path] == rows[place]
            assert [pack.depths[node] for node in path] == list(range(len(path)))


@given(rows=ROWS, size=st.integers(1, 6), data=st.data())
def test_trees_are_bounded_whatever_is_known(rows: list[list[int]], size: int, data: st.DataObject) -> None:
    known = [data.draw(st.integers(0, len(row) - 1)) for row in rows]
    found = list(packs(rows, size, known))
    assert sorted(place for pack in found for place in pack.paths) == list(range(len(rows)))
    for pack in found:
        first = len(rows[next(iter(pack.paths))])
        assert len(pack.tokens) <= max(8 * size, first + 4 * size)


def test_long_rows_that_are_known_fill_no_tree_without_bound() -> None:
    rows = [[i] * 3000 for i in range(8)]
    assert [len(pack.tokens) for pack in packs(rows, 512, [2999] * 8)] == [3000] * 8


@QUICK
@given(rows=ROWS, slots=st.integers(1, 6), most_tokens=st.integers(1, 60))
def test_slots_hold_no_more_tokens_than_they_may(rows: list[list[int]], slots: int, most_tokens: int) -> None:
    model, held, put = opinionated(FAMILIES["llama"]), set[tuple[int, int]](), Slots.put

    def seen(self: Slots, layer: int, *new: torch.Tensor) -> Any:
        held.add((self.count, self.room))
        assert self._keys_LSHTD.shape[1::2] == (self.count, self.room)
        return put(self, layer, *new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Slots, "put", seen)
        decoder(model, slots=slots, most_tokens=most_tokens).generate(rows, range(len(rows)), Sampling(max_tokens=3))
    for count, room in held:
        assert count <= slots
        assert count == 1 or count * room <= most_tokens


def test_rows_longer_than_a_tree_share_what_they_begin_with() -> None:
    shared = list(range(100))
    assert [len(pack.tokens) for pack in packs([[*shared, 100 + i] for i in range(50)], 16)] == [150]
    bounded = packs([[*shared, 100 + i] for i in range(50)], 16, largest=125)
    assert [len(pack.tokens) for pack in bounded] == [125, 125]
