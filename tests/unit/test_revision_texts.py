import pytest
from hypothesis import given
from hypothesis import strategies as st
from revision_kit import QUESTION, TASK, candidate

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
