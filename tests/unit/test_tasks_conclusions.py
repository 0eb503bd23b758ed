import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.outcomes import ParseOutcome
from elad.protocols import Parsed
from elad.tasks import conclusions


def _echo(body: str, cut: bool) -> Parsed:
    """A reader that takes any body at its word."""
    return Parsed(answer=f"{body}|" if cut else body, outcome=ParseOutcome.PARSED)


@pytest.mark.parametrize(
    ("text", "body", "asked"),
    [
        ("He has 3.\nThe answer is 5.", "5.", True),
        ("so THE ANSWER IS 5", "5", True),
        ("The answer is: **5**", "5**", True),
        ("The **answer** is 5", "5", True),
        ("The answer is\n\n5", "5", True),
        ("The final answer is 5.", "5.", False),
        ("Answer: (B) no", "(B) no", False),
        ("**Answer:** $5", "$5", False),
        ("**Final Answer**\n\n42", "42", False),
        ("48/2 = 24 #### 24", "24", False),
        ("so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}", False),
        ("The answer is $\\boxed{5}$.", "5", True),
        ("The correct option is (B).", "(B).", False),
        ("The answer is 4.\nThe answer is 5.", "5.", True),
    ],
)
def test_finds_the_last_conclusion(text: str, body: str, asked: bool) -> None:
    last = conclusions.find(text)[-1]
    assert (last.body, last.asked) == (body, asked)
    assert conclusions.as_asked(text) is asked
    assert conclusions.said(text) == body


@pytest.mark.parametrize(
    "text",
    [
        "",
        "He has 5 apples.",
        "First find what the answer is. Then stop.",
        "The answer must be something that lives in water.",
        "#### Step 2: add the numbers",
    ],
)
def test_finds_none_where_nothing_is_concluded(text: str) -> None:
    assert conclusions.find(text) == []
    assert not conclusions.as_asked(text)
    assert conclusions.said(text) == ""


def test_a_conclusion_knows_where_its_sentence_begins() -> None:
    text = "He has 3.5 kg. So, the answer is 5."
    (found,) = conclusions.find(text)
    assert text[found.start :].strip() == "So, the answer is 5."


@pytest.mark.parametrize(
    ("text", "finished", "outcome"),
    [
        ("He has 5.", True, ParseOutcome.NO_CONCLUSION),
        ("He has 5", False, ParseOutcome.TRUNCATED),
        ("I'm sorry, I cannot answer this.", True, ParseOutcome.REFUSED),
        ("As an AI, I have no body.", False, ParseOutcome.REFUSED),
        ("As an aid, note 5.", True, ParseOutcome.NO_CONCLUSION),
        ("I don't know, so the answer is 5.", True, ParseOutcome.PARSED),
        ("The answer is 5, or rather the answer is 6.", True, ParseOutcome.AMBIGUOUS),
        ("The answer is 5. The answer is 6.", True, ParseOutcome.PARSED),
    ],
)
def test_outcomes_that_all_families_share(text: str, finished: bool, outcome: ParseOutcome) -> None:
    assert conclusions.settle(text, _echo, finished=finished).outcome is outcome


def test_the_reader_is_told_of_a_cut_only_at_the_very_end() -> None:
    assert conclusions.settle("The answer is 5", _echo, finished=False).answer == "5|"
    assert conclusions.settle("The answer is 5\n", _echo, finished=False).answer == "5"
    assert conclusions.settle("The answer is 5", _echo, finished=True).answer == "5"


def test_only_the_end_of_a_text_is_read() -> None:
    text = "The answer is 5.\n" + "x" * conclusions.MOST_CHARS
    assert conclusions.settle(text, _echo, finished=True).outcome is ParseOutcome.NO_CONCLUSION


@given(
    st.lists(st.sampled_from(["The answer is", " 5", ".", "\n", "\\boxed{", "}", "####", " ", "answer:", "**", "x"]))
)
def test_every_text_has_conclusions_within_it(parts: list[str]) -> None:
    text = "".join(parts)
    for found in conclusions.find(text):
        assert 0 <= found.start <= found.cue <= found.end <= len(text)
        assert found.body in text
        assert len(found.body) <= 2 * conclusions.MOST_BODY


@pytest.mark.parametrize("part", ["the answer is ", "\\boxed{", "answer ", "####", "The answer is 5, ", "**", "."])
def test_hostile_texts_are_read_in_bounded_steps(part: str) -> None:
    parsed = conclusions.settle(part * 100_000, _echo, finished=True)
    assert parsed.outcome in ParseOutcome
