"""The transformers engine, on a tiny model of random weights: drawing, scoring, learning, keeping."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
import tiny_model
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lesson_kit import QUICK, example, lesson

from elad.asks import Generation, Prompt
from elad.errors import RunFolderError, StudentError
from elad.protocols import Student
from elad.records import Example, Message, Sampling
from elad.students import embedding, inspection
from elad.students.sampling import NO_TOKEN, draw
from elad.students.transformers import Lora, Transformers, TransformersStudent
from elad.training.rows import collate, encode_example, encode_prompt
from elad.training.trainer import step_loss

SAMPLING = Sampling(temperature=1.0, max_tokens=12)
GREEDY = Sampling(max_tokens=9)


def prompt(text: str, *, seed: int = 0, prefix: str = "") -> Prompt:
    return Prompt(messages=(Message(role="user", content=text),), seed=seed, prefix=prefix)


def tiny(folder: Path) -> TransformersStudent:
    return Transformers(model=str(folder), dtype="float32", batch_size=3).open()


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_numbers_are_those_that_the_machine_multiplies_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch, native: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(inspection, "multiplies_bfloat16", lambda: native)
    student, named = Transformers(model=str(folder)).open(), str(dtype).removeprefix("torch.")
    assert student.model.dtype is dtype
    assert student.id == Transformers(model=str(folder), dtype=cast("Any", named)).open().id
    assert student.id.endswith(named)


def opinionated(tmp_path: Path, **settings: Any) -> TransformersStudent:
    """The tiny model from a folder that has settings of its own for `generate`."""
    folder = tiny_model.save(tmp_path / "opinionated")
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return tiny(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def student(folder: Path) -> TransformersStudent:
    return tiny(folder)


def test_what_is_drawn_depends_on_the_seed_alone_not_on_the_batch(student: TransformersStudent) -> None:
    prompts = [prompt("3 + 4?" * (1 + i % 3), seed=i) for i in range(8)]
    together = student.generate(prompts, SAMPLING)
    alone = [student.generate([one], SAMPLING)[0] for one in prompts]
    backwards = student.generate(prompts[::-1], SAMPLING)[::-1]
    assert together == alone == backwards
    assert len({one.text for one in together}) > 1


def test_an_embedding_is_the_weighted_mean_of_what_the_last_layer_makes_of_the_prompt(
    student: TransformersStudent,
) -> None:
    prompts = [prompt("3 + 4?"), prompt("3 + 4 + 5?", prefix="3 + 4 = 7."), prompt("why? " * 99)]
    vectors = student.embed(prompts)
    for one, vector in zip(prompts[:2], vectors, strict=False):
        ids = torch.tensor([encode_prompt(student.tokenizer, one)])
        states = student.model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0]
        weights = torch.arange(1.0, len(states) + 1)
        assert vector == pytest.approx((weights @ states / weights.sum()).tolist(), abs=1e-4)
    assert set(vectors[2]) == {0.0}
    assert [student.embed([one])[0] for one in prompts] == [pytest.approx(vector, abs=1e-5) for vector in vectors]


def test_a_wide_embedding_is_narrowed_and_distances_stay(student: TransformersStudent) -> None:
    prompts = [prompt(f"{i} + {j}?") for i in range(4) for j in range(4)]
    whole = torch.tensor(student.embed(prompts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "WIDTH", 40)
        embedding._projection.cache_clear()
        narrow = torch.tensor(student.embed(prompts))
    embedding._projection.cache_clear()
    assert narrow.shape == (16, 40)
    ratio = torch.pdist(narrow) / torch.pdist(whole)
    assert 0.8 < float(ratio.median()) < 1.2
    assert float(ratio.std()) < 0.3


def test_another_seed_draws_another_text(student: TransformersStudent) -> None:
    texts = {student.generate([prompt("3 + 4?", seed=seed)], SAMPLING)[0].text for seed in range(6)}
    assert len(texts) == 6


def test_greedy_is_bare_generate(student: TransformersStudent) -> None:
    one = prompt("3 + 4?", prefix="3 + 4 =")
    ids = torch.tensor([encode_prompt(student.tokenizer, one)])
    bare = student.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=9)
    text = student.tokenizer.decode(bare[0, ids.shape[1] :], skip_special_tokens=True)
    assert student.generate([one], GREEDY)[0].text == text


OPINIONS: list[dict[str, Any]] = [
    {"repetition_penalty": 1.5},
    {"no_repeat_ngram_size": 2},
    {"suppress_tokens": list(range(4, 200))},
    {"bad_words_ids": [[token] for token in range(4, 200)]},
    {"do_sample": True, "temperature": 0.1, "top_k": 2},
]


@pytest.mark.parametrize("opinion", OPINIONS, ids=lambda opinion: next(iter(opinion)))
def test_what_the_folder_says_of_generation_does_not_bend_drafts(tmp_path: Path, opinion: dict[str, Any]) -> None:
    student = opinionated(tmp_path, **opinion)
    plain = tiny(tiny_model.save(tmp_path / "plain"))
    prompts = [prompt(f"{i} + 4?", seed=i, prefix=f"{i} + 4 =") for i in range(6)]
    assert student.generate(prompts, SAMPLING) == plain.generate(prompts, SAMPLING)
    long = replace(GREEDY, max_tokens=40)
    for one, made in zip(prompts, student.generate(prompts, long), strict=True):
        ids = encode_prompt(student.tokenizer, one)
        start = len(ids)
        while len(ids) < start + made.tokens:
            ids.append(int(student.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        assert made.text == student.tokenizer.decode(ids[start:], skip_special_tokens=True)


def test_a_reply_ends_where_the_tokenizer_or_the_folder_says(tmp_path: Path) -> None:
    one = prompt("3 + 4?")
    student = tiny(tiny_model.save(tmp_path / "plain"))
    ids = encode_prompt(student.tokenizer, one)
    first = int(student.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
    eos = student.tokenizer.eos_token_id
    for ends in ([eos, first], first):
        ended = opinionated(tmp_path, eos_token_id=ends)
        assert ended.generate([one, prompt("9")], GREEDY)[0] == Generation(text="", finished=True, tokens=1)
        assert set(ended.model.generation_config.eos_token_id) == {eos, first}
    assert student.generate([one], GREEDY)[0].tokens > 1


def test_a_prompt_beyond_the_context_is_an_empty_unfinished_generation(student: TransformersStudent) -> None:
    long, short = student.generate([prompt("7 " * 400), prompt("7")], SAMPLING)
    assert (long.text, long.finished, long.tokens) == ("", False, 0)
    assert [long.too_long, short.too_long] == [True, False]
    assert short.tokens > 0
    assert long.surprise is None
    assert short.surprise is not None
    assert short.surprise > 0


def test_a_prefix_is_part_of_the_reply_that_must_fit_and_the_rest_is_written(student: TransformersStudent) -> None:
    def tokens(one: Prompt) -> int:
        return len(encode_prompt(student.tokenizer, one))

    asked = next("?" * n for n in range(300) if tokens(prompt("?" * n)) == student.context - SAMPLING.max_tokens)
    bare, going_on = prompt(asked), prompt(asked, prefix="?" * 8)
    length = tokens(going_on)
    assert student.context - 12 < length < student.context
    first, second = student.generate([bare, going_on], SAMPLING)
    assert first.tokens > 0
    assert 0 < second.tokens <= student.context - length


def test_scores_are_the_log_probabilities_of_a_plain_forward_pass(student: TransformersStudent) -> None:
    pairs = [(prompt("1 + 1?"), " 2."), (prompt("a much longer question, 5 + 5?"), "10"), (prompt("x"), "")]
    for (one, target), scores in zip(pairs, student.score(pairs), strict=True):
        start = encode_prompt(student.tokenizer, one)
        rest = student.tokenizer(target, add_special_tokens=False)["input_ids"]
        logits = student.model(input_ids=torch.tensor([start + rest])).logits[0]
        log_probs = logits.log_softmax(-1)
        expected = [log_probs[len(start) - 1 + i, token].item() for i, token in enumerate(rest)]
        assert scores == pytest.approx(expected, abs=1e-4)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text("0123456789+ ", max_size=30), st.text("0123 .", min_size=1, max_size=9)), max_size=7))
def test_scores_do_not_depend_on_the_batch(student: TransformersStudent, texts: list[tuple[str, str]]) -> None:
    pairs = [(prompt(question), target) for question, target in texts]
    together = student.score(pairs)
    alone = [student.score([pair])[0] for pair in pairs]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_a_reply_ends_where_it_is_said_to_have_said_enough(student: TransformersStudent) -> None:
    prompts = [prompt(f"{i} + 1?", seed=i) for i in range(6)]
    whole = student.generate(prompts, SAMPLING)
    shown: list[list[str]] = [[] for _ in prompts]

    def enough(place: int, text: str) -> bool:
        shown[place].append(text)
        return place % 2 == 0 and len(shown[place]) == 2

    cut = student.generate(prompts, SAMPLING, enough)
    assert any(one.tokens > 8 for one in whole[::2])
    for place, (long, short) in enumerate(zip(whole, cut, strict=True)):
        ended = place % 2 == 0 and long.tokens > 8
        assert short == (Generation(text=shown[place][1], finished=False, tokens=8) if ended else long)
        assert all(long.text.startswith(text.rstrip("\ufffd")) for text in shown[place])


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    luck = [Random(7)]
    counts = Counter(draw(logits, luck, Sampling(temperature=1.0))[0] for _ in range(4000))
    shares = [counts[token] / 4000 for token in range(4)]
    assert shares == pytest.approx(logits.softmax(-1)[0].tolist(), abs=0.03)


def test_nucleus_sampling_never_leaves_the_nucleus() -> None:
    logits = torch.tensor([[3.0, 2.9, 0.0, -1.0]])
    luck = [Random(3)]
    assert {draw(logits, luck, Sampling(temperature=1.0, top_p=0.6))[0] for _ in range(300)} == {0, 1}


@pytest.mark.parametrize(("temperature", "top_p"), [(0.0, 1.0), (1.0, 1.0), (1.0, 0.9)])
def test_from_logits_that_are_no_numbers_nothing_is_drawn(temperature: float, top_p: float) -> None:
    logits = torch.tensor([[1.0, 2.0], [1.0, torch.nan]])
    found = draw(logits, [Random(0), Random(0)], Sampling(temperature=temperature, top_p=top_p))
    assert found[0] in (0, 1)
    assert found[1] == NO_TOKEN


@pytest.mark.parametrize("lora", [Lora(rank=4), None])
def test_fit_gives_a_new_student_and_leaves_the_old(folder: Path, tmp_path: Path, lora: Lora | None) -> None:
    start = Transformers(model=str(folder), dtype="float32", lora=lora).open()
    before = start.score([(prompt("1 + 1?"), "2")])
    shares: list[float] = []
    fit = start.fit([example(i) for i in range(8)], lesson(QUICK, 1), folder=tmp_path, progress=shares.append)
    assert start.score([(prompt("1 + 1?"), "2")]) == before
    assert fit.student.id != start.id
    assert fit.summary["losses"][-1] < fit.summary["losses"][0]
    assert shares[-1] == 1.0
    again = start.settings.load(tmp_path)
    assert again.id == fit.student.id
    pair = (prompt("3 + 3?"), "The answer is 6.")
    assert again.score([pair]) == fit.student.score([pair])
    assert sum(fit.student.score([pair])[0]) > sum(start.score([pair])[0])


def test_training_is_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    start = Transformers(model=str(folder), dtype="float32").open()
    rows = [example(i) for i in range(6)]
    first = start.fit(rows, lesson(QUICK, 4), folder=tmp_path / "a")
    second = start.fit(rows, lesson(QUICK, 4), folder=tmp_path / "b")
    other = start.fit(rows, lesson(QUICK, 5), folder=tmp_path / "c")
    assert first.student.id == second.student.id != other.student.id


def test_a_student_that_goes_on_from_a_trained_one_can_be_loaded(folder: Path, tmp_path: Path) -> None:
    start = Transformers(model=str(folder), dtype="float32").open()
    rows = [example(i) for i in range(6)]
    first = start.fit(rows, lesson(QUICK, 1), folder=tmp_path / "a").student
    second = first.fit(rows, lesson(QUICK, 1), folder=tmp_path / "b").student
    again = start.settings.load(tmp_path / "b")
    pair = (prompt("3 + 3?"), "The answer is 6.")
    assert again.score([pair]) == second.score([pair])
    assert sum(second.score([pair])[0]) > sum(first.score([pair])[0])


def test_a_checkpoint_is_safetensors_with_tokenizer_and_manifest(folder: Path, tmp_path: Path) -> None:
    start = Transformers(model=str(folder), dtype="float32").open()
    start.fit([example(1)], lesson(QUICK, 1), folder=tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"adapter_model.safetensors", "tokenizer.json", "elad.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    manifest = json.loads((tmp_path / "elad.json").read_text())
    assert manifest["from"] == start.id
    assert manifest["summary"]["rows"] == 1


def test_rows_that_are_too_long_are_counted_not_cut(folder: Path, tmp_path: Path) -> None:
    start = Transformers(model=str(folder), dtype="float32").open()
    rows = [example(1), replace(example(2), target="7 " * 300)]
    fit = start.fit(rows, lesson(replace(QUICK, max_length=100), 1), folder=tmp_path)
    assert (fit.summary["rows"], fit.summary["too_long"]) == (1, 1)


CAREFUL = replace(QUICK, patience=1, validation_share=0.5, epochs=6)


def bought(i: int, target: str) -> Example:
    return replace(example(i), target=target, source="repaired")


@pytest.mark.parametrize("lora", [Lora(), None], ids=["lora", "full"])
def test_a_rising_validation_loss_stops_early_and_leaves_the_best_weights(
    folder: Path, tmp_path: Path, lora: Lora | None
) -> None:
    start = Transformers(model=str(folder), dtype="float32", lora=lora).open()
    rows = [*map(example, range(6)), bought(6, "xyz" * 9), bought(7, "QWJ" * 9)]  # neither is learnt from the other
    fit = start.fit(rows, lesson(replace(CAREFUL, learning_rate=0.05), 1), folder=tmp_path)
    losses = fit.summary["validation_losses"]
    assert len(losses) < CAREFUL.epochs
    assert losses[-1] > losses[-2] == min(losses)
    kept = [loss_of(fit.student, row) for row in rows[6:]]
    assert max(kept) == pytest.approx(min(losses), abs=1e-3)


def test_a_falling_validation_loss_trains_to_the_end(folder: Path, tmp_path: Path) -> None:
    start = tiny(folder)
    rows = [bought(i, "The answer is 7.") for i in range(8)]
    fit = start.fit(rows, lesson(CAREFUL, 1), folder=tmp_path)
    assert len(fit.summary["validation_losses"]) == CAREFUL.epochs


def loss_of(student: Student, row: Example) -> float:
    """Mean loss over the target, its end of text with it."""
    assert isinstance(student, TransformersStudent)
    batch = collate([encode_example(student.tokenizer, row)])
    with torch.no_grad():
        loss = step_loss(student.model, batch, lesson(QUICK, 1), student.decoder.sight)
    return float(loss.total / loss.count)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "tokenizer.json", "elad.json"])
def test_what_keeps_a_student_from_being_saved_is_told_and_half_of_one_is_none(
    folder: Path, tmp_path: Path, name: str
) -> None:
    start = Transformers(model=str(folder), dtype="float32").open()
    start.fit([example(1)], lesson(QUICK, 1), folder=tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name / "in the way").mkdir(parents=True)
    with pytest.raises(RunFolderError, match="cannot be saved"):
        start.fit([example(2)], lesson(QUICK, 1), folder=tmp_path)
    with pytest.raises(StudentError, match=str(tmp_path)):
        start.settings.load(tmp_path)


@pytest.mark.parametrize(
    ("lora", "name"),
    [
        (Lora(), "elad.json"),
        (Lora(), "adapter_model.safetensors"),
        (Lora(), "adapter_config.json"),
        (None, "elad.json"),
        (None, "model.safetensors"),
        (None, "config.json"),
        (None, "tokenizer.json"),
    ],
)
def test_a_torn_student_is_refused_by_name(folder: Path, tmp_path: Path, lora: Lora | None, name: str) -> None:
    start = Transformers(model=str(folder), dtype="float32", lora=lora).open()
    start.fit([example(1)], lesson(QUICK, 1), folder=tmp_path)
    whole = (tmp_path / name).read_bytes()
    torn = [whole[: len(whole) // 2], b"", b"[]", b"{}"] if name.startswith("elad") else [whole[: len(whole) // 2], b""]
    for content in torn:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StudentError, match=str(tmp_path)):
            start.settings.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(StudentError, match=str(tmp_path)):
        start.settings.load(tmp_path)


def test_a_folder_that_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=str(tmp_path)):
        Transformers(model=str(tmp_path)).open()


def test_an_unknown_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(StudentError, match="smollm2-135m"):
        Transformers(model="smolm2-135m").open()
