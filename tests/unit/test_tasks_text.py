from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from elad.outcomes import ParseOutcome
from elad.records import Problem, Sampling
from elad.tasks.chains import make_chain
from elad.tasks.text import Text, normalise

TASK = Text()
LETTERS = Problem(id="q", question='Take the last letters of "Lucky Kc".', answer="yc")

words = st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is yc.", "yc"),
        ('The answer is "Yc".', "yc"),
        ("So the answer is **yc**", "yc"),
        ("The answer is the Eiffel Tower. It is tall.", "eiffel tower"),
        ('The answer is "St. Petersburg".', "st. petersburg"),
        (r"\boxed{\text{yc}}", "yc"),
        ("#### yc", "yc"),
    ],
)
def test_reads_the_answer(text: str, answer: str) -> None:
    assert TASK.parse(text, LETTERS).answer == answer


@pytest.mark.parametrize(
    ("text", "finished", "outcome"),
    [
        ('The answer is "ab" or "cd".', True, ParseOutcome.AMBIGUOUS),
        ("The answer is y", False, ParseOutcome.TRUNCATED),
        ("The answer is", False, ParseOutcome.TRUNCATED),
        ("The answer is", True, ParseOutcome.NO_CONCLUSION),
        ("The answer is " + "word " * 30, True, ParseOutcome.NO_CONCLUSION),
        ("y + c = yc", True, ParseOutcome.NO_CONCLUSION),
    ],
)
def test_says_why_there_is_no_answer(text: str, finished: bool, outcome: ParseOutcome) -> None:
    assert TASK.parse(text, LETTERS, finished=finished).outcome is outcome


@given(words)
def test_what_is_concluded_is_parsed(answer: str) -> None:
    assume(len(answer.split()) <= 20)
    assume(any(c.isalnum() for c in answer))
    assume("answer" not in answer.lower())  # such a one would announce a conclusion itself
    problem = replace(LETTERS, answer=answer)
    parsed = TASK.parse(TASK.conclusion(problem, answer), problem)
    assert TASK.same(parsed.answer, answer, problem)
    assert not TASK.same(TASK.wrong_answer(problem), answer, problem)


@given(words)
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assume(not once.startswith(("a ", "an ", "the ")))  # "the the", a band
    assert normalise(once) == once


@pytest.mark.parametrize(
    ("text", "strict", "lenient"),
    [
        ("The answer is yc.", True, True),
        ("Answer: yc", False, True),
        ("Together they give yc", False, True),
        ('Together "yc" it is then', False, True),
        ("The answer is cy.", False, False),
    ],
)
def test_grades(text: str, strict: bool, lenient: bool) -> None:
    chain = make_chain(
        text, LETTERS, TASK, finished=True, sampling=Sampling(), seed=0, tokens=1, most_steps=12
    )  # fmt: skip
    grade = TASK.grade(LETTERS, chain)
    assert (grade.strict, grade.lenient) == (strict, lenient)


def test_the_prompt() -> None:
    system, user = TASK.messages(LETTERS)
    assert TASK.cue in system.content
    assert user.content == LETTERS.question
    assert TASK.options(LETTERS) is None
    assert not TASK.same(None, None, LETTERS)
