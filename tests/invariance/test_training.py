"""Pairs of trainings that must agree, and the loss itself against a slow reference."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
import tiny_model
import torch
from families import FAMILIES, opinionated
from lesson_kit import lesson, targets
from transformers import LlamaForCausalLM, get_cosine_schedule_with_warmup

from elad.asks import Prompt
from elad.learning import Write
from elad.packing.sight import Sight
from elad.records import Example, Message
from elad.settings import Training
from elad.students.transformers import Lora, Transformers
from elad.training import trainer
from elad.training.guide import target_logits
from elad.training.objectives.sft import Sft
from elad.training.rows import IGNORED, Row, collate, encode_example
from elad.training.trainer import step_loss, train

EIGHT = Training(epochs=2, batch_size=8, micro_batch_size=8, learning_rate=0.01)


def examples(count: int) -> list[Example]:
    """Targets of very different lengths: a mean of means would differ from the mean."""
    return [
        Example(
            problem_id=str(i),
            messages=(Message(role="user", content=f"{i} + 1?"),),
            target=f"{i} + 1 = {i + 1}.\n" * (1 + 3 * (i % 2)) + f"The answer is {i + 1}.",
            source="warmup",
        )
        for i in range(count)
    ]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A feed that changes nothing and keeps what was drawn, in its order."""

    drawn: list[Example] = field(default_factory=list[Example])

    def __call__(self, examples: Sequence[Example], write: Write, done: float, rng: Random) -> list[Example]:
        self.drawn.extend(examples)
        return list(examples)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("lora", [None, Lora()], ids=["full", "lora"])
def test_eight_rows_at_once_are_eight_accumulated(folder: Path, tmp_path: Path, lora: Lora | None) -> None:
    start = Transformers(model=str(folder), dtype="float32", lora=lora).open()
    probe = (Prompt(messages=(Message(role="user", content="9 + 1?"),)), "9 + 1 = 10.\nThe answer is 10.")
    scores, losses = [], []
    for micro in (8, 4, 1):
        fit = start.fit(
            examples(16),
            lesson(replace(EIGHT, micro_batch_size=micro)),
            folder=tmp_path / str(micro),
        )
        scores.append(fit.student.score([probe])[0])
        losses.append(fit.summary["losses"])
    assert scores[1] == pytest.approx(scores[0], abs=2e-3)
    assert scores[2] == pytest.approx(scores[0], abs=2e-3)
    assert losses[1] == pytest.approx(losses[0], abs=2e-3)
    assert losses[2] == pytest.approx(losses[0], abs=2e-3)


def test_what_the_model_says_of_its_own_loss_does_not_matter(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Transformers(model=str(folder), dtype="float32", lora=None).open()
    one_by_one = replace(EIGHT, micro_batch_size=1)

    def trained(name: str) -> str:
        return start.fit(examples(16), lesson(one_by_one), folder=tmp_path / name).student.id

    plain = trained("plain")
    monkeypatch.setattr(LlamaForCausalLM, "accepts_loss_kwargs", False, raising=False)
    assert trained("says no") == plain
    monkeypatch.undo()
    forward = LlamaForCausalLM.forward

    def bare(  # noqa: PLR0913 - what training and decoding give, and no more: above all no `**kwargs`
        self: Any,
        input_ids: Any,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        logits_to_keep: Any = 0,
        use_cache: bool = False,
    ) -> Any:
        return forward(
            self,
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            logits_to_keep=logits_to_keep,
            use_cache=use_cache,
        )

    monkeypatch.setattr(LlamaForCausalLM, "forward", bare)
    assert trained("takes none") == plain


@pytest.mark.parametrize("size", [1, 40, 512])
def test_the_loss_is_the_mean_over_target_tokens_of_a_plain_model(folder: Path, size: int) -> None:
    student = Transformers(model=str(folder), dtype="float32").open()
    rows = [encode_example(student.tokenizer, one) for one in examples(5)]
    batch = collate(rows, size)
    loss = step_loss(student.model, batch, lesson(EIGHT), student.decoder.sight)
    loss.total.backward()
    found = gradients(student.model)
    assert found
    total, count = torch.tensor(0.0, dtype=torch.double), 0
    for row in rows:
        logits = student.model(input_ids=torch.tensor([row.ids])).logits[0].double().log_softmax(-1)
        for at in range(row.target_start, len(row)):
            total = total - logits[at - 1, row.ids[at]]
            count += 1
    total.backward()
    assert int(loss.count) == count
    assert loss.total.item() == pytest.approx(total.item(), rel=1e-5)
    for ours, plain in zip(found, gradients(student.model), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-4)


def gradients(model: Any) -> list[torch.Tensor]:
    """Those of all weights, which are cleared."""
    found = [weight.grad for weight in model.parameters() if weight.grad is not None]
    model.zero_grad()
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("size", [9, 60])
def test_rows_in_trees_are_learnt_from_as_plain_ones(family: str, kernel: str, size: int) -> None:
    model = opinionated(FAMILIES[family])
    model.set_attn_implementation(kernel)
    rows = [
        Row(ids=ids, target_start=start, bought=True)
        for ids, start in (((1, 2, 3, 4, 5, 6, 0), 3), ((1, 2, 3, 7, 8, 0), 3), ((1, 2, 9, 0), 2), ((5, 6, 7, 0), 1))
    ]
    loss = step_loss(model, collate(rows, size), lesson(EIGHT), Sight.of(model.config))
    loss.total.backward()
    packed = gradients(model)
    total = torch.tensor(0.0)
    for row in rows:
        logits = model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
        total = total - sum(logits[at - 1, row.ids[at]] for at in range(row.target_start, len(row)))
    total.backward()
    assert loss.total.item() == pytest.approx(total.item(), rel=1e-4)
    for ours, plain in zip(packed, gradients(model), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("size", "asked", "copied"), [(512, 1, False), (512, 2, True), (1, 1, True)])
def test_logits_are_copied_only_where_targets_stand_otherwise_than_they_do(
    folder: Path, size: int, asked: int, copied: bool
) -> None:
    student, given = Transformers(model=str(folder), dtype="float32").open(), list[torch.Tensor]()
    again = [replace(one, target=f"So {one.target}") for one in examples(3)] * (asked - 1)
    rows = [encode_example(student.tokenizer, one) for one in examples(3) + again]
    batch = collate(rows, size)
    student.model.lm_head.register_forward_hook(lambda *called: given.append(called[-1]))
    found = target_logits(student.model, batch, student.decoder.sight)
    assert (found.data_ptr() != given[0].data_ptr()) is copied
    for logits, row, token in zip(found, batch["rows"].tolist(), batch["targets"].tolist(), strict=True):
        ids = torch.tensor([rows[row].ids])
        places = range(rows[row].target_start - 1, len(rows[row]) - 1)
        plain = student.model(input_ids=ids).logits[0]
        assert any(rows[row].ids[at + 1] == token and torch.allclose(plain[at], logits, atol=1e-4) for at in places)


def test_long_rows_are_trees_of_their_own_and_shorter_ones_share_one() -> None:
    def nodes(*lengths: int) -> tuple[int, ...]:
        rows = [Row(ids=(i, *range(length)), target_start=1, bought=True) for i, length in enumerate(lengths)]
        return tuple(collate(rows)["input_ids"].shape)

    assert nodes(1500, 1500) == (2, 1500)
    assert nodes(500, 500) == (1, 1000)


@pytest.mark.parametrize("feed", [None, Recorded()], ids=["rows", "feed"])
def test_with_long_rows_attention_stays_fused_and_gives_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, feed: Recorded | None
) -> None:
    student = Transformers(model=str(folder), dtype="float32").open()
    longest = max(len(encode_example(student.tokenizer, one)) for one in examples(8))
    taught = replace(lesson(replace(EIGHT, max_length=longest + 9)), feed=feed)
    losses, kernels = list[list[float]](), list[str]()
    enough = longest if feed is None else longest + 9
    for most in (enough, enough - 1):
        monkeypatch.setattr(trainer, "LARGEST", most)
        torch.manual_seed(0)
        model, _ = student.trainable()
        losses.append(train(model, student.tokenizer, examples(8), taught, write=student.writer(model))["losses"])
        kernels.append(model.config._attn_implementation)
    assert kernels == ["eager", "sdpa"]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("lora", [None, Lora()], ids=["full", "lora"])
@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-3), ("bfloat16", 0.01)])
def test_the_loss_curve_is_that_of_a_plain_loop(
    folder: Path, tmp_path: Path, dtype: Literal["float32", "bfloat16"], near: float, lora: Lora | None
) -> None:
    student = Transformers(model=str(folder), dtype=dtype, lora=lora).open()
    training = Training(epochs=5, batch_size=8, micro_batch_size=2, learning_rate=0.003, warmup_ratio=0.0)
    feed = Recorded()
    fit = student.fit(examples(16), replace(lesson(training), feed=feed), folder=tmp_path / "ours")
    torch.manual_seed(lesson(training).seed)
    plain, _ = student.trainable()
    weights = [weight for weight in plain.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=0.003, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, 0, 10)
    means = list[float]()
    for step in range(10):
        rows = [encode_example(student.tokenizer, one) for one in feed.drawn[8 * step : 8 * step + 8]]
        mean: Any = sum(plain_loss(plain, row) for row in rows) / sum(len(row) - row.target_start for row in rows)
        means.append(mean.item())
        optimizer.zero_grad()
        mean.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    curve = [sum(pair) / 2 for pair in zip(means[::2], means[1::2], strict=True)]
    assert curve[-1] < curve[0] - (0.15 if lora else 0.5)
    assert fit.summary["losses"] == pytest.approx(curve, rel=near)


@pytest.mark.parametrize("lora", [None, Lora()], ids=["full", "lora"])
def test_with_checkpointing_a_layer_is_computed_twice(folder: Path, lora: Lora | None) -> None:
    student = Transformers(model=str(folder), dtype="float32", lora=lora).open()
    losses, counts = list[list[float]](), list[int]()
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model, _ = student.trainable()
        calls = list[Any]()
        layer = next(module for name, module in model.named_modules() if name.endswith("layers.0.self_attn"))
        layer.register_forward_pre_hook(lambda *called, calls=calls: calls.append(called))
        one_step = replace(EIGHT, epochs=1, gradient_checkpointing=checkpointing)
        told = train(model, student.tokenizer, examples(8), lesson(one_step), write=student.writer(model))
        losses.append(told["losses"])
        counts.append(len(calls))
    assert counts == [1, 2]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def plain_loss(model: Any, row: Row) -> Any:
    """The sum over a row's target tokens, one row alone and logits at every place."""
    logits = model(input_ids=torch.tensor([row.ids])).logits[0, row.target_start - 1 : -1].float()
    return torch.nn.functional.cross_entropy(logits, torch.tensor(row.ids[row.target_start :]), reduction="sum")


def test_the_end_of_text_carries_loss_though_it_is_the_padding_token(folder: Path) -> None:
    student = Transformers(model=str(folder), dtype="float32").open()
    tokenizer = student.tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    rows = [encode_example(tokenizer, one) for one in examples(2)]
    first, *labels = collate(rows)["labels"].tolist()
    assert first == IGNORED
    assert sorted(labels) == sorted(token for row in rows for token in row.ids[row.target_start :])
    assert labels.count(tokenizer.eos_token_id) == 2


def test_masked_positions_carry_no_gradient_and_an_empty_mask_has_a_graph() -> None:
    logits = torch.randn(4, 7, requires_grad=True)
    ids = torch.tensor([1, 2, 3, 4])
    mask = torch.tensor([True, False, True, False])
    loss = Sft()(logits, targets(ids, mask))
    loss.total.backward()
    assert logits.grad is not None
    assert (logits.grad[~mask] == 0).all()
    assert (logits.grad[mask] != 0).any()
    empty = Sft()(logits, targets(ids, torch.zeros(4, dtype=torch.bool)))
    assert empty.total.item() == 0
    empty.total.backward()
