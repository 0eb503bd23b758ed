"""A continuation that is ended early answers as it would have at its end."""

from hypothesis import given, settings
from hypothesis import strategies as st

from elad.protocols import Task
from elad.records import Problem
from elad.tasks.chains import concluded
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.uncertainty.inter import _settled

NUMBER = Problem(id="a", question="?", answer="4")
OPTIONS = Problem(id="b", question="?", answer="x", choices=("x", "y"))
PIECES = (
    "The answer is 4",
    "the answer is 12",
    "The answer is (A)",
    "the answer is (B)",
    "#### 4",
    "So ",
    "no, ",
    "wait",
)
MARKS = (".", "\n", " ", "?", "$", " eggs", "7", "A", "(B)", "3 + 1 = 4", "Step 1: ", "Therefore, ", " or ", "\n\n")
TEXTS = st.lists(st.sampled_from(PIECES + MARKS), min_size=2, max_size=14).map("".join)


@settings(deadline=None, max_examples=300)
@given(text=TEXTS, asked=st.sampled_from([(NUMBER, Numeric()), (OPTIONS, Choice())]))
def test_nothing_that_follows_changes_what_was_settled(text: str, asked: tuple[Problem, Task]) -> None:
    problem, task = asked
    whole = concluded(text, problem, task, finished=True)[1].answer
    ends = [end for end in range(len(text)) if _settled(problem, text[:end], task)]
    for end in ends[:1]:
        assert concluded(text[:end], problem, task, finished=False)[1].answer == whole


def test_a_conclusion_that_is_left_behind_is_settled() -> None:
    assert not _settled(NUMBER, "3 + 1 = 4.\nThe answer is 4.", Numeric())
    assert not _settled(NUMBER, "3 + 1 = 4.\nThe answer is 4\nSo", Numeric())
    assert _settled(NUMBER, "3 + 1 = 4.\nThe answer is 4.\nSo", Numeric())
    assert _settled(NUMBER, "3 + 1 = 4.\nThe answer is 4\nSo\nit", Numeric())
