"""A student held against a guide, token by token: against plain forward passes of both."""

from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch

from elad.errors import StudentError
from elad.protocols import Disagreement, Prompt
from elad.records import Message
from elad.students.fake import Fake
from elad.students.transformers import Transformers, TransformersStudent
from elad.training import contrast
from elad.training.rows import encode_prompt, encode_text

TEXTS = ["3 + 4 = 7.\nThe answer is 7.", "12 + 9 = 21.\nThe answer is 21.", "Häuser für 5 €.", "x", ""]


def prompt(text: str = "3 + 4?", prefix: str = "") -> Prompt:
    return Prompt(messages=(Message(role="user", content=text),), prefix=prefix)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[TransformersStudent, TransformersStudent]:
    """A student and a guide of other weights."""
    folders = [tiny_model.save(tmp_path_factory.mktemp("tiny"), seed=seed) for seed in (0, 1)]
    student, guide = (Transformers(model=str(folder), dtype="float32").open() for folder in folders)
    return student, guide


def plain(student: Any, guide: Any, asked: Prompt, text: str) -> list[Disagreement]:
    """One row at a time, one token at a time, in float64."""
    tokenizer = student.tokenizer
    before, said = encode_prompt(tokenizer, asked), encode_text(tokenizer, text)
    ids = torch.tensor([before + said])
    mine, theirs = (one.model(input_ids=ids).logits[0].double().log_softmax(-1).tolist() for one in (student, guide))
    found: list[Disagreement] = []
    for at, token in enumerate(said):
        own = tokenizer.decode([token])
        place = len(before) + at - 1
        wanted = max(range(len(theirs[place])), key=theirs[place].__getitem__)
        kl = sum(exp(p) * (p - q) for p, q in zip(theirs[place], mine[place], strict=True))
        preferred = "" if wanted in tokenizer.all_special_ids else tokenizer.decode([wanted])
        if wanted != token and "\ufffd" not in own + preferred:
            begin = len(tokenizer.decode(said[:at]))
            found.append(Disagreement(start=begin, end=begin + len(own), preferred=preferred, divergence=kl))
    return found


@torch.no_grad()
def test_it_is_what_plain_forward_passes_say(
    both: tuple[TransformersStudent, TransformersStudent], monkeypatch: pytest.MonkeyPatch
) -> None:
    student, guide = both
    monkeypatch.setattr(contrast, "BATCH", 2)
    asked = [(prompt(prefix="So: "), text) for text in TEXTS]
    for (one, text), found in zip(asked, student.contrast(asked, guide), strict=True):
        expected = plain(student, guide, one, text)
        assert len(expected) >= len(text) // 8
        assert [replace(this, divergence=0) for this in found] == [replace(this, divergence=0) for this in expected]
        assert [this.divergence for this in found] == pytest.approx([this.divergence for this in expected], abs=1e-5)


def test_its_own_divergence_is_none_and_a_greedy_text_has_nothing_to_correct(
    both: tuple[TransformersStudent, TransformersStudent],
) -> None:
    student, _ = both
    (found,) = student.contrast([(prompt(), TEXTS[0])], student)
    assert found
    assert all(abs(one.divergence) < 1e-6 for one in found)


def test_where_the_guide_would_end_nothing_is_preferred(
    both: tuple[TransformersStudent, TransformersStudent], monkeypatch: pytest.MonkeyPatch
) -> None:
    student, guide = both
    ending = guide.tokenizer.eos_token_id
    monkeypatch.setattr(contrast, "_likeliest", lambda view: torch.full((len(view.logits_NV),), ending))
    (found,) = student.contrast([(prompt(), TEXTS[0])], guide)
    assert {one.preferred for one in found} == {""}
    assert "".join(TEXTS[0][one.start : one.end] for one in found) == TEXTS[0]


def test_what_does_not_fit_gets_nothing_and_its_neighbours_do(
    both: tuple[TransformersStudent, TransformersStudent],
) -> None:
    student, guide = both
    short, long = (prompt(), TEXTS[0]), (prompt("x " * 400), TEXTS[0])
    assert student.contrast([long, short], guide) == [(), *student.contrast([short], guide)]


def test_a_guide_that_reads_other_tokens_or_shows_nothing_is_refused(
    both: tuple[TransformersStudent, TransformersStudent], tmp_path: Path
) -> None:
    student, guide = both
    other = Transformers(model=str(tiny_model.save(tmp_path)), dtype="float32").open()
    other.tokenizer.add_tokens(["apples"])
    with pytest.raises(StudentError, match="tokenizer is not the student's"):
        student.contrast([(prompt(), "x")], other)
    with pytest.raises(StudentError, match="does not show its predictions"):
        student.contrast([(prompt(), "x")], Fake().open())
    assert guide.contrast([], student) == []


def test_the_scripted_student_is_held_against_what_the_scripted_guide_would_say() -> None:
    student, guide = Fake(skill=0.0).open(), Fake(skill=1.0).open()
    (found,) = student.contrast([(prompt("Ana has 3 pens and 4 pens."), "3 + 4 = 9.\nThe answer is 9.")], guide)
    assert [(one.start, one.end, one.preferred) for one in found] == [(7, 10, " 7.")]
    assert 0 <= found[0].divergence < log(8)
    assert student.contrast([(prompt("Ana has 3 pens and 4 pens."), "3 + 4 = 7.\nThe answer is 7.")], guide) == [()]
