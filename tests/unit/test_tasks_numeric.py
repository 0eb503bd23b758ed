from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.outcomes import ParseOutcome
from elad.records import Chain, Problem, Sampling
from elad.tasks.chains import make_chain
from elad.tasks.numeric import Numeric

TASK = Numeric()
APPLES = Problem(id="q", question="How many apples? ", answer="26", context="Tom has 30 and eats 4.")


def _chain(text: str, *, finished: bool = True) -> Chain:
    return make_chain(
        text, APPLES, TASK, finished=finished, sampling=Sampling(), seed=0, tokens=1, most_steps=12
    )  # fmt: skip


def test_the_prompt_holds_context_then_question_and_asks_for_the_cue() -> None:
    system, user = TASK.messages(APPLES)
    assert (system.role, user.role) == ("system", "user")
    assert user.content == "Tom has 30 and eats 4.\n\nHow many apples?"
    assert TASK.cue in system.content
    assert TASK.options(APPLES) is None


def test_dollar_signs_in_a_question_stay_as_they_are() -> None:
    problem = replace(APPLES, question="It costs $5 and $question or ${x}?", context=None)
    assert TASK.messages(problem)[1].content == problem.question


@given(st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, places=4))
def test_what_is_concluded_is_parsed_and_graded_right(answer: object) -> None:
    problem = replace(APPLES, answer=str(answer))
    text = TASK.conclusion(problem, str(answer))
    assert text.startswith(TASK.cue)
    parsed = TASK.parse(text, problem)
    assert parsed.outcome is ParseOutcome.PARSED
    assert TASK.same(parsed.answer, str(answer), problem)
    assert not TASK.same(TASK.wrong_answer(problem), str(answer), problem)


def test_a_long_gold_decimal_is_concluded_in_short() -> None:
    assert TASK.conclusion(APPLES, "0.16666666666666666") == "The answer is 0.166667."


@pytest.mark.parametrize(
    ("text", "finished", "outcome", "strict", "lenient"),
    [
        ("30 - 4 = 26.\nThe answer is 26.", True, ParseOutcome.PARSED, True, True),
        ("The answer is $26 dollars", True, ParseOutcome.PARSED, True, True),
        ("The answer is 22 + 4.", True, ParseOutcome.PARSED, False, True),
        ("The answer is 22 + 4 = 26.", True, ParseOutcome.PARSED, True, True),
        ("The answer is 104/4.", True, ParseOutcome.PARSED, False, True),
        ("The answer is 52/2 = 26.", True, ParseOutcome.PARSED, True, True),
        ("The answer is less than 26.", True, ParseOutcome.AMBIGUOUS, False, False),
        ("The answer is 26 more than 83.", True, ParseOutcome.AMBIGUOUS, False, False),
        ("Answer: 26", True, ParseOutcome.PARSED, False, True),
        ("#### 26", True, ParseOutcome.PARSED, False, True),
        ("So he has 26 apples.", True, ParseOutcome.NO_CONCLUSION, False, True),
        ("30 - 4 = 26", False, ParseOutcome.TRUNCATED, False, True),
        ("30 - 4 = 27.", True, ParseOutcome.NO_CONCLUSION, False, False),
        ("26 it is. The answer is 27.", True, ParseOutcome.PARSED, False, False),
        ("The answer is 25 or 26.", True, ParseOutcome.AMBIGUOUS, False, False),
        ("I'm sorry, I cannot say 26.", True, ParseOutcome.REFUSED, False, False),
        ("The answer is 2", False, ParseOutcome.TRUNCATED, False, False),
        ("The answer is", False, ParseOutcome.TRUNCATED, False, False),
        ("", True, ParseOutcome.NO_CONCLUSION, False, False),
    ],
)
def test_grades(text: str, finished: bool, outcome: ParseOutcome, strict: bool, lenient: bool) -> None:
    grade = TASK.grade(APPLES, _chain(text, finished=finished))
    assert (grade.outcome, grade.strict, grade.lenient) == (outcome, strict, lenient)
    assert (grade.answer is None) == (outcome is not ParseOutcome.PARSED)


@given(st.text(alphabet="The answr is26.,\n$or#", max_size=80), st.booleans())
def test_strict_implies_lenient(text: str, finished: bool) -> None:
    grade = TASK.grade(APPLES, _chain(text, finished=finished))
    assert grade.lenient or not grade.strict
    assert grade.outcome is ParseOutcome.PARSED or not grade.strict


def test_nothing_equals_none() -> None:
    assert not TASK.same(None, None, APPLES)
    assert not TASK.same("26", None, APPLES)
    assert not TASK.same("many", "many", APPLES)
    assert TASK.same("26.00004", "26", APPLES)
    assert not TASK.same("26.001", "26", APPLES)


def test_without_a_gold_answer_there_is_no_grade() -> None:
    with pytest.raises(ValueError, match="no gold answer"):
        TASK.grade(replace(APPLES, answer=None), _chain("The answer is 26."))
