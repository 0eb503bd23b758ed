import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from revision_kit import QUESTION, TASK, candidate

from elad import sample
from elad.revision import texts
from elad.tasks.numeric import Numeric

PROBLEM = candidate("").problem


def test_marks_and_fences_go_and_the_words_stay() -> None:
    said = "```text\nStep 1: 3 x 4 = 12.\n\n2. 12 - 2 = **10**.\n- So 10 are left.\n[3] 3.5 stays\n```\n"
    assert texts.clean(said, QUESTION) == "3 x 4 = 12.\n12 - 2 = 10.\nSo 10 are left.\n3.5 stays"


@pytest.mark.parametrize("last", ["#### 90", "#### $1,250", "####-7", "#### 12.5%"])
def test_the_concluding_mark_of_gsm8k_is_no_heading(last: str) -> None:
    assert texts.clean(f"#### Step 1\n45 * 2 = 90\n{last}", QUESTION) == f"Step 1\n45 * 2 = 90\n{last}"


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("5**2 = 25", "5**2 = 25"),
        ("(2 + 3)**2 = 5 ** 2", "(2 + 3)**2 = 5 ** 2"),
        ("He has **12** of 5**2 and 3 **x** (**4**)", "He has 12 of 5**2 and 3 x (4)"),
    ],
)
def test_powers_are_no_bold_marks(said: str, plain: str) -> None:
    assert texts.clean(said, QUESTION) == plain


def test_control_characters_do_not_come_through() -> None:
    assert texts.clean("a\x00b\x1b[2J\r\nc", QUESTION) == "a b [2J\nc"


@given(st.text())
def test_clean_is_bounded_and_has_no_blank_lines(said: str) -> None:
    plain = texts.clean(said * 50, QUESTION)
    assert len(plain) <= texts.MOST_CHARACTERS
    assert all(line.strip() for line in plain.splitlines())


def test_another_language_is_unusable_only_where_the_question_is_not_in_it() -> None:
    assert texts.clean("苹果还剩十个", QUESTION) == ""
    assert texts.clean("苹果还剩十个", "还剩几个苹果") == "苹果还剩十个"
    assert not texts.foreign("π r² = 12 for the café", QUESTION)


@pytest.mark.parametrize(
    "said",
    [
        "Primero sumamos tres más cuatro.",
        "Primero sumamos las manzanas de Tom y luego restamos dos, entonces quedan diez.",
        "D'abord, nous ajoutons trois et quatre, puis il reste sept pommes.",
        "Zuerst addieren wir drei und vier, das sind sieben Äpfel.",
        "Prima sommiamo tre e quattro, quindi sono sette mele.",
        "Primeiro somamos três mais quatro, então são sete maçãs.",
    ],
)
def test_another_language_in_the_same_script_is_told_by_its_everyday_words(said: str) -> None:
    for text in (said, f"{said}\nThe answer is 7."):
        assert texts.foreign(text, QUESTION)
        assert texts.clean(text, QUESTION) == ""
        assert not texts.foreign(text, said)


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("He went to Los Angeles, El Paso and San Juan de la Cruz and has 7.", QUESTION),
        ("El total es 7.", QUESTION),
        ("a + b = c, de = la, 3 x 4 = 12 cm", QUESTION),
        ("Primero sumamos tres más cuatro y luego cinco.", "Calcula 3 + 4."),
        ("Primero sumamos tres más cuatro y luego cinco.", "¿Cuántas manzanas tiene Tom en total?"),
        ("First we add three and four, then there are seven of them.", "Wie viele Äpfel sind in dem Korb?"),
        ("Primero sumamos tres más cuatro y luego cinco.", "How much is it when 'el perro' is put in Spanish?"),
    ],
)
def test_what_is_not_plainly_foreign_is_not(said: str, question: str) -> None:
    assert not texts.foreign(said, question)


@given(st.data(), st.sampled_from([QUESTION, "Quanti libri ha la classe e quante sono le mele che aveva prima?"]))
def test_the_questions_own_words_are_never_foreign(data: st.DataObject, question: str) -> None:
    words = data.draw(st.lists(st.sampled_from(question.split()), max_size=40))
    assert not texts.foreign(" ".join(words), question)


@given(st.lists(st.sampled_from("primero tres más cuatro zuerst puis quindi então x 12 = + cm".split()), max_size=3))
def test_short_texts_and_formulas_are_never_foreign(words: list[str]) -> None:
    assert not texts.foreign(" ".join(words), QUESTION)


def test_no_question_of_the_sample_is_foreign_to_another() -> None:
    path = sample.folder() / "pool.jsonl"
    questions = [json.loads(line)["question"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert not any(texts.foreign(said, asked) for said, asked in pairwise(questions))


def test_same_forgives_form_but_no_number() -> None:
    assert texts.same("Step 2: He has 12 apples.", "he has  12 apples")
    assert not texts.same("He has 1.5 kg", "He has 15 kg")
    assert not texts.same("He has 12", "He has 13")


@given(st.text(), st.text())
def test_join_leaves_the_first_text_untouched(before: str, after: str) -> None:
    joined = texts.join(before, after)
    assert joined.startswith(before)
    assert joined.endswith(after)


def test_repeated_steps_are_dropped_only_at_the_start() -> None:
    rest = ("He has 12.", "he eats 2", "He has 12.")
    assert texts.unrepeated(rest, ["He has 12."]) == rest[1:]
    assert texts.unrepeated(rest[:1], ["he has 12"]) == ()


def test_a_conclusion_is_never_dropped_as_repeated() -> None:
    assert texts.unrepeated(("He has 7.", "The answer is 7."), ["He has 7.", "The answer is 7."]) == (
        "The answer is 7.",
    )


def test_one_conclusion_in_the_task_s_own_form() -> None:
    rest = ("12 - 2 = 10.", "So the answer is 10", "The answer is 10!", "I hope that helps.")
    whole = texts.whole(PROBLEM, TASK, "3 x 4 = 12. ", rest)
    assert whole == texts.Whole(text="3 x 4 = 12. \n12 - 2 = 10.\nThe answer is 10.", answer="10")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("The answer is 52 + 38 = 90.", "52 + 38 = 90."),
        ("Therefore, the final answer is: 52 + 38 = 90", "52 + 38 = 90"),
        (r"So he had 52 + 38 = \boxed{90} blocks.", "So he had 52 + 38 = 90 blocks."),
        (r"The answer is \boxed{52 + 38 = 90}.", "52 + 38 = 90."),
        ("#### 52 + 38 = 90", "52 + 38 = 90"),
        ("So the answer is 90", ""),
        (r"\boxed{90}", ""),
    ],
)
def test_a_working_within_the_conclusion_is_kept(said: str, kept: str) -> None:
    assert texts.working(said) == kept
    whole = texts.whole(PROBLEM, Numeric(), "", ("He used 52.", said, "Well done!"))
    assert whole.text.splitlines() == ["He used 52.", *filter(None, [kept]), "The answer is 90."]


def test_a_text_without_conclusion_stays_and_has_no_answer() -> None:
    assert texts.whole(PROBLEM, TASK, "a", ("b",)) == texts.Whole(text="a\nb", answer=None)
