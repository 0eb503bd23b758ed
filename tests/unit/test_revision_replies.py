import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from revision_kit import QUESTION, one, whole

from elad.revision.replies import (
    MOST_CHARACTERS,
    Judgement,
    StepJudgement,
    Unreadable,
    judgement,
    read,
    step_judgement,
)

GOOD = Judgement(first_error=1, corrected="12 - 2 = 10", reason="because")


def wrapped() -> st.SearchStrategy[tuple[str, str]]:
    """Prose that may stand before and after an object."""
    prose = st.text(st.characters(exclude_characters='{}"\\', categories=["L", "N", "P", "Z"]), max_size=40)
    return st.tuples(prose, prose)


@given(wrapped(), st.none() | st.integers(-3, 40), st.text(max_size=30), st.text(max_size=30))
def test_what_was_written_is_read_whatever_stands_around_it(
    around: tuple[str, str], index: int | None, corrected: str, reason: str
) -> None:
    value = read(around[0] + whole(index, corrected, reason) + around[1], judgement, "ジ")
    assert value == Judgement(first_error=index, corrected=corrected.strip(), reason=reason.strip())


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"first_error": 1, "corrected_step": "12 - 2 = 10", "reason": "because",}\n```',
        'Sure: {"first_error": "1", "corrected_step": "12 - 2 = 10", "reason": "because"} Done {x}.',
        whole(1, "12 - 2 = 10") * 2,
    ],
)
def test_small_faults_of_form_are_forgiven(text: str) -> None:
    assert read(text, judgement, QUESTION) == GOOD


def test_a_comma_inside_a_string_is_kept() -> None:
    value = read('{"first_error": 0, "corrected_step": "{a, }", "reason": ""}', judgement, QUESTION)
    assert isinstance(value, Judgement)
    assert value.corrected == "{a, }"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("  \n", Unreadable.EMPTY),
        ("x" * (MOST_CHARACTERS + 1), Unreadable.TOO_LONG),
        ("The second step is wrong.", Unreadable.NO_OBJECT),
        ('{"first_error": 1, "corrected_step": "12', Unreadable.NO_OBJECT),
        ('{"first_error": NaN}', Unreadable.NO_OBJECT),
        ('{"first_error": ' + "9" * 5000 + "}", Unreadable.NO_OBJECT),
        ('{"a":' * 3000, Unreadable.NO_OBJECT),
        ('{"corrected_step": "x"}', Unreadable.WRONG_KEYS),
        ('{"first_error": true}', Unreadable.WRONG_KEYS),
        ('{"first_error": 1.5}', Unreadable.WRONG_KEYS),
        ('{"first_error": "second"}', Unreadable.WRONG_KEYS),
        ('{"first_error": 1, "corrected_step": ["x"]}', Unreadable.WRONG_KEYS),
        (whole(1) + whole(2), Unreadable.SEVERAL),
        (whole(1, "苹果还剩十个", "错了"), Unreadable.FOREIGN),
    ],
)
def test_what_cannot_be_read_says_why(text: str, why: Unreadable) -> None:
    assert read(text, judgement, QUESTION) is why


@given(st.text(max_size=400))
def test_hostile_text_never_raises(text: str) -> None:
    for reader in (judgement, step_judgement):
        assert read(text, reader, QUESTION) is not None


@given(st.text(st.sampled_from('{}[]",:\\ 1a'), max_size=4000))
def test_hostile_punctuation_never_raises(text: str) -> None:
    assert isinstance(read(text, judgement, QUESTION), Judgement | Unreadable)


def test_one_step() -> None:
    assert read(one(True), step_judgement, QUESTION) == StepJudgement(correct=True, corrected="", reason="because")
    assert read('{"correct": "yes"}', step_judgement, QUESTION) is Unreadable.WRONG_KEYS
    assert read('{"correct": 1}', step_judgement, QUESTION) is Unreadable.WRONG_KEYS


def test_words_are_bounded() -> None:
    value = read(json.dumps({"first_error": None, "reason": "a" * 5000}), judgement, QUESTION)
    assert isinstance(value, Judgement)
    assert len(value.reason) == 1000
