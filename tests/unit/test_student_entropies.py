"""How undecided a student is before each token: against a plain forward pass, and whatever else is in the batch."""

from math import log

import pytest
import tiny_model
import torch

from elad.abilities import Entropies
from elad.asks import Prompt
from elad.records import Message
from elad.students.fake import Fake
from elad.students.sampling import undecided
from elad.students.transformers import Transformers, TransformersStudent
from elad.training.rows import encode_prompt, encode_text

PAIRS = [
    (Prompt(messages=(Message(role="user", content=f"{n} + 4?"),), prefix=f"{n} + 4 ="), f" {n + 4}.\nSo it is.")
    for n in range(8)
]
LONG = (Prompt(messages=(Message(role="user", content="pear " * 300),)), " 4.")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> TransformersStudent:
    return Transformers(model=str(tiny_model.save(tmp_path_factory.mktemp("tiny"))), dtype="float32").open()


def test_entropies_are_those_of_a_plain_forward_pass_over_the_logarithm_of_the_vocabulary(
    student: TransformersStudent,
) -> None:
    assert isinstance(student, Entropies)
    found = student.entropies([*PAIRS, LONG])
    for (prompt, target), values in zip(PAIRS, found, strict=False):
        start, ids = encode_prompt(student.tokenizer, prompt), encode_text(student.tokenizer, target)
        with torch.no_grad():
            logs = student.model(input_ids=torch.tensor([start + ids])).logits[0].double().log_softmax(-1)
        plain = -(logs.exp() * logs).sum(-1)[len(start) - 1 : -1] / log(logs.shape[-1])
        assert values == pytest.approx(plain.tolist(), abs=1e-4)
    assert found[-1] == ()


def test_entropies_do_not_depend_on_the_batch(student: TransformersStudent) -> None:
    together = student.entropies(PAIRS)
    assert together == [pytest.approx(student.entropies([pair])[0], abs=1e-5) for pair in PAIRS]


def test_the_fake_student_has_some_for_each_token_that_it_scores() -> None:
    fake = Fake(context=200).open()
    assert isinstance(fake, Entropies)
    found = fake.entropies([*PAIRS, LONG])
    assert list(map(len, found)) == [4] * 8 + [0]
    assert list(map(len, found)) == list(map(len, fake.score([*PAIRS, LONG])))
    assert all(0 <= value <= 1 for values in found for value in values)
    assert [fake.entropies([pair])[0] for pair in PAIRS] == found[:8]
    assert len(set(found)) == 9


def test_the_most_undecided_are_uniform_and_the_least_are_sure() -> None:
    logits = torch.zeros(4, 50)
    logits[1, 7] = 1000.0
    logits[2, :25] = -torch.inf
    logits[3, 0] = torch.nan
    uniform, sure, half, nothing = undecided(logits).tolist()
    assert (uniform, sure, half) == pytest.approx((1.0, 0.0, log(25) / log(50)), abs=1e-6)
    assert nothing != nothing
    assert undecided(logits.bfloat16()).dtype == torch.float32
