"""A guide is shown the very tokens that the student learns from, and stays as it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch

from elad.errors import StudentError
from elad.learning import Full, Lesson, Objective
from elad.packing.sight import Sight
from elad.records import Example, Message
from elad.settings import Training
from elad.students.transformers import Transformers, TransformersStudent
from elad.training.guide import target_logits
from elad.training.objectives.forward_kl import ForwardKl
from elad.training.objectives.soft import Soft
from elad.training.rows import collate, encode_example
from elad.training.trainer import in_common, step_loss

QUICK = Training(epochs=2, batch_size=4, micro_batch_size=2, learning_rate=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("other"), seed=1, hidden=96)


def opened(folder: Path) -> TransformersStudent:
    return Transformers(model=str(folder), dtype="float32").open()


def example(i: int, target: str = "") -> Example:
    messages = (Message(role="user", content=f"{i} + {i}?"),)
    return Example(problem_id=str(i), messages=messages, target=target or f"The answer is {2 * i}.", source="guide")


def batch(student: TransformersStudent, *examples: Example) -> dict[str, Any]:
    return collate([encode_example(student.tokenizer, one) for one in examples])


def lesson(objective: Objective, guide: TransformersStudent) -> Lesson:
    return Lesson(objective=objective, training=QUICK, seed=3, guide=guide.guide())


def loss(student: TransformersStudent, objective: Objective, guide: TransformersStudent) -> float:
    rows = batch(student, example(3), example(4), example(5, "It is 10.\nThe answer is 10."))
    return step_loss(student.model, rows, lesson(objective, guide), student.decoder.sight).total.item()


def test_a_student_that_is_its_own_guide_has_nothing_to_learn(folder: Path) -> None:
    student = opened(folder)
    assert loss(student, ForwardKl(), student) == pytest.approx(0, abs=1e-4)


def test_another_guide_gives_another_loss(folder: Path, other: Path) -> None:
    student = opened(folder)
    mine, others = loss(student, Soft(), student), loss(student, Soft(), opened(other))
    assert others - mine > 0.01


def test_it_is_shown_each_target_after_what_comes_before_it(folder: Path, other: Path) -> None:
    """Row by row, unpacked, by a plain forward pass of the larger model."""
    student, guide = opened(folder), opened(other)
    examples = [example(3), example(4), example(3, "It is 6.\nThe answer is 6.")]
    packed = batch(student, *examples)
    view = guide.guide().view(packed)
    assert not view.logits_NV.requires_grad
    for place, one in enumerate(examples):
        row = encode_example(student.tokenizer, one)
        with torch.no_grad():
            plain = guide.model(torch.tensor([row.ids[:-1]])).logits[0, row.target_start - 1 :]
        torch.testing.assert_close(view.logits_NV[packed["rows"] == place], plain, atol=1e-4, rtol=1e-4)


def test_what_pads_one_vocabulary_is_left_out_and_the_rest_is_a_distribution(folder: Path) -> None:
    student, padded = opened(folder), opened(folder)
    padded.model.resize_token_embeddings(416)
    rows = batch(student, example(3))
    logits = target_logits(student.model, rows, Sight.of(student.model.config))
    mine, view = in_common(logits, padded.guide().view(rows))
    assert isinstance(view, Full)
    assert mine.shape == view.logits_NV.shape == logits.shape
    assert loss(student, ForwardKl(), padded) == pytest.approx(0, abs=1e-4)


def test_a_guide_stays_as_it_is_while_a_student_learns(folder: Path, other: Path, tmp_path: Path) -> None:
    student, guide = opened(folder), opened(other)
    before = {name: tensor.clone() for name, tensor in guide.model.state_dict().items()}
    fit = student.fit([example(i) for i in range(6)], lesson(Soft(lambda_=1.0), guide), folder=tmp_path)
    assert fit.student.id != student.id
    assert isinstance(fit.student, TransformersStudent)
    assert loss(opened(folder), ForwardKl(), guide) > loss(fit.student, ForwardKl(), guide)
    after = guide.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(one.grad is None for one in guide.model.parameters())


def test_of_other_tokens_nothing_is_learnt(folder: Path, tmp_path: Path) -> None:
    student, guide = opened(folder), opened(folder)
    guide.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(StudentError, match="its chat template"):
        student.fit([example(1)], lesson(Soft(), guide), folder=tmp_path)
    guide = opened(folder)
    guide.tokenizer.add_tokens(["<new>"])
    with pytest.raises(StudentError, match=r"1 of \d+ and \d+ entries"):
        student.fit([example(1)], lesson(Soft(), guide), folder=tmp_path)


def test_an_objective_that_needs_a_guide_says_so_where_there_is_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StudentError, match="learns from a guide, and there is none"):
        opened(folder).fit([example(1)], replace(lesson(Soft(), opened(folder)), guide=None), folder=tmp_path)
