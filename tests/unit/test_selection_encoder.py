"""Questions as vectors: by the student, or by a sentence encoder of random weights, made here."""

from math import dist
from pathlib import Path

import pytest
import tiny_model
import torch
from transformers import AutoModel, AutoTokenizer

from elad.abilities import Embeds
from elad.errors import ConfigError
from elad.kinds import build, describe
from elad.protocols import Embedded
from elad.records import Problem
from elad.selection.encoder import Encoder
from elad.selection.top import Top
from elad.students.fake import Fake
from elad.tasks.numeric import Numeric

TASK = Numeric()
PEARS = [Problem(id=str(n), question=f"Tom has {n} pears and gets {n + 1} more. How many now?") for n in range(5)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model.save(tmp_path_factory.mktemp("encoder")))


def test_the_student_itself_is_asked_where_no_model_is_named() -> None:
    student = Fake().open()
    assert isinstance(student, Embeds)
    vectors = Encoder()(PEARS, student, TASK)
    assert len(vectors) == 5
    assert len({len(vector) for vector in vectors}) == 1
    assert Encoder()(PEARS[:1], student, TASK) == vectors[:1]
    (other,) = Encoder()([Problem(id="x", question="Why is the sky blue, and the sea, and not a pear?")], student, TASK)
    assert dist(vectors[0], vectors[1]) < dist(vectors[0], other)
    ((*long,),) = Encoder()([Problem(id="x", question="pear " * 9)], Fake(context=20).open(), TASK)
    assert set(long) == {0.0}


def test_a_student_that_cannot_is_named() -> None:
    class Mute:
        id = "mute"

    with pytest.raises(ConfigError, match=r"^selector\.encoder\.model: is needed, as mute gives no embeddings"):
        Encoder()(PEARS, Mute(), TASK)  # pyright: ignore[reportArgumentType] - less than a student


def test_a_sentence_encoder_is_the_mean_of_its_last_layer(model: str) -> None:
    encoder = Encoder(model=model)
    assert Encoder().own
    assert not encoder.own
    vectors = encoder(PEARS, Fake().open(), TASK)
    tokenizer, plain = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()
    for problem, vector in zip(PEARS, vectors, strict=True):
        with torch.inference_mode():
            states = plain(**tokenizer(TASK.question(problem), return_tensors="pt")).last_hidden_state[0]
        assert vector == pytest.approx(states.mean(0).tolist(), abs=1e-5)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^selector\.encoder\.model: '.*' cannot be loaded"):
        Encoder(model=str(tmp_path))(PEARS, Fake().open(), TASK)


def test_an_encoder_stands_in_the_configuration(model: str) -> None:
    selector = build("elad.selection", {"kind": "core_set", "encoder": {"model": model}}, "selector")
    assert isinstance(selector, Embedded)
    assert selector.encoder == Encoder(model=model)
    assert build("elad.selection", describe(selector), "selector") == selector
    assert not isinstance(Top(), Embedded)
