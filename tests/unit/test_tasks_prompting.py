import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.kinds import kinds
from elad.records import Problem
from elad.tasks import prompting

KINDS = kinds("elad.tasks")


def test_every_answer_family_has_a_prompt() -> None:
    assert KINDS == ["choice", "numeric", "text"]


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_are_short_and_ask_for_the_cue(kind: str) -> None:
    system, user = prompting.conversation(kind, "Q")
    assert "The answer is" in system.content
    assert len(system.content.split()) <= 40
    assert user.content == "Q"


@given(st.text())
def test_a_question_goes_in_as_it_stands(question: str) -> None:
    assert prompting.conversation("numeric", question)[1].content == question


def test_the_context_comes_first() -> None:
    problem = Problem(id="q", question=" Why? ", context=" Rain.\n")
    assert prompting.framed(problem) == "Rain.\n\nWhy?"
    assert prompting.framed(Problem(id="q", question=" Why? ")) == "Why?"
