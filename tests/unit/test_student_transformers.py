"""The transformers engine, on a tiny model of random weights: drawing, scoring, learning, keeping."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_model
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elad.errors import RunFolderError, StudentError
from elad.protocols import Prompt, Training
from elad.records import Example, Message, Sampling
from elad.students.sampling import PerRowSampling
from elad.students.transformers import Lora, Transformers, TransformersStudent
from elad.training.objectives.sft import Sft
from elad.training.rows import encode_prompt

SAMPLING = Sampling(temperature=1.0, max_tokens=12)
QUICK = Training(epochs=2, batch_size=4, micro_batch_size=2, learning_rate=0.01)


def prompt(text: str, *, seed: int = 0, prefix: str = "") -> Prompt:
    return Prompt(messages=(Message(role="user", content=text),), seed=seed, prefix=prefix)


def example(i: int) -> Example:
    messages = (Message(role="user", content=f"{i} + {i}?"),)
    return Example(problem_id=str(i), messages=messages, target=f"The answer is {2 * i}.", source="warmup")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def student(folder: Path) -> TransformersStudent:
    return Transformers(model=str(folder), dtype="float32", batch_size=3).open()


def test_what_is_drawn_depends_on_the_seed_alone_not_on_the_batch(student: TransformersStudent) -> None:
    prompts = [prompt("3 + 4?" * (1 + i % 3), seed=i) for i in range(8)]
    together = student.generate(prompts, SAMPLING)
    alone = [student.generate([one], SAMPLING)[0] for one in prompts]
    backwards = student.generate(prompts[::-1], SAMPLING)[::-1]
    assert together == alone == backwards
    assert len({one.text for one in together}) > 1


def test_another_seed_draws_another_text(student: TransformersStudent) -> None:
    texts = {student.generate([prompt("3 + 4?", seed=seed)], SAMPLING)[0].text for seed in range(6)}
    assert len(texts) == 6


def test_greedy_is_bare_generate(student: TransformersStudent) -> None:
    one = prompt("3 + 4?", prefix="3 + 4 =")
    ids = torch.tensor([encode_prompt(student.tokenizer, one)])
    bare = student.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=9)
    text = student.tokenizer.decode(bare[0, ids.shape[1] :], skip_special_tokens=True)
    assert student.generate([one], Sampling(max_tokens=9))[0].text == text


def test_a_prompt_beyond_the_context_is_an_empty_unfinished_generation(student: TransformersStudent) -> None:
    long, short = student.generate([prompt("7 " * 400), prompt("7")], SAMPLING)
    assert (long.text, long.finished, long.tokens) == ("", False, 0)
    assert short.tokens > 0


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


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    draw = PerRowSampling([7], Sampling(temperature=1.0))
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[int(draw(torch.empty(1, 0), logits).argmax())] += 1
    assert (counts / 4000).tolist() == pytest.approx(logits.softmax(-1)[0].tolist(), abs=0.03)


def test_nucleus_sampling_never_leaves_the_nucleus() -> None:
    logits = torch.tensor([[3.0, 2.9, 0.0, -1.0]])
    draw = PerRowSampling([3], Sampling(temperature=1.0, top_p=0.6))
    drawn = {int(draw(torch.empty(1, 0), logits).argmax()) for _ in range(300)}
    assert drawn == {0, 1}


@pytest.mark.parametrize("lora", [Lora(rank=4), None])
def test_fit_gives_a_new_student_and_leaves_the_old(folder: Path, tmp_path: Path, lora: Lora | None) -> None:
    start = Transformers(model=str(folder), dtype="float32", lora=lora).open()
    before = start.score([(prompt("1 + 1?"), "2")])
    shares: list[float] = []
    fit = start.fit([example(i) for i in range(8)], Sft(), QUICK, seed=1, folder=tmp_path, progress=shares.append)
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
    first = start.fit(rows, Sft(), QUICK, seed=4, folder=tmp_path / "a")
    second = start.fit(rows, Sft(), QUICK, seed=4, folder=tmp_path / "b")
    other = start.fit(rows, Sft(), QUICK, seed=5, folder=tmp_path / "c")
    assert first.student.id == second.student.id != other.student.id


def test_a_student_that_goes_on_from_a_trained_one_can_be_loaded(folder: Path, tmp_path: Path) -> None:
    start = Transformers(model=str(folder), dtype="float32").open()
    rows = [example(i) for i in range(6)]
    first = start.fit(rows, Sft(), QUICK, seed=1, folder=tmp_path / "a").student
    second = first.fit(rows, Sft(), QUICK, seed=1, folder=tmp_path / "b").student
    again = start.settings.load(tmp_path / "b")
    pair = (prompt("3 + 3?"), "The answer is 6.")
    assert again.score([pair]) == second.score([pair])
    assert sum(second.score([pair])[0]) > sum(first.score([pair])[0])


def test_a_checkpoint_is_safetensors_with_tokenizer_and_manifest(folder: Path, tmp_path: Path) -> None:
    start = Transformers(model=str(folder), dtype="float32").open()
    start.fit([example(1)], Sft(), QUICK, seed=1, folder=tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"adapter_model.safetensors", "tokenizer.json", "elad.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    manifest = json.loads((tmp_path / "elad.json").read_text())
    assert manifest["from"] == start.id
    assert manifest["summary"]["rows"] == 1


def test_rows_that_are_too_long_are_counted_not_cut(folder: Path, tmp_path: Path) -> None:
    start = Transformers(model=str(folder), dtype="float32").open()
    rows = [example(1), replace(example(2), target="7 " * 300)]
    fit = start.fit(rows, Sft(), replace(QUICK, max_length=100), seed=1, folder=tmp_path)
    assert (fit.summary["rows"], fit.summary["too_long"]) == (1, 1)


def test_early_stopping_keeps_rows_aside(folder: Path, tmp_path: Path) -> None:
    start = Transformers(model=str(folder), dtype="float32").open()
    careful = replace(QUICK, patience=1, validation_share=0.25, epochs=3)
    fit = start.fit([example(i) for i in range(8)], Sft(), careful, seed=1, folder=tmp_path)
    assert fit.summary["validation_rows"] == 2
    assert 1 <= len(fit.summary["validation_losses"]) <= 3


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "tokenizer.json", "elad.json"])
def test_what_keeps_a_student_from_being_saved_is_told_and_half_of_one_is_none(
    folder: Path, tmp_path: Path, name: str
) -> None:
    start = Transformers(model=str(folder), dtype="float32").open()
    start.fit([example(1)], Sft(), QUICK, seed=1, folder=tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name / "in the way").mkdir(parents=True)
    with pytest.raises(RunFolderError, match="cannot be saved"):
        start.fit([example(2)], Sft(), QUICK, seed=1, folder=tmp_path)
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
    start.fit([example(1)], Sft(), QUICK, seed=1, folder=tmp_path)
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
