import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.outcomes import ParseOutcome
from elad.tasks.offered import LETTERS, Offered

YES = ("yes", "no")
LABELS = ("entailment", "neutral", "contradiction")
WATER = ("park", "water", "wooded area", "body of water", "gravity")
NUMBERS = ("12", "13", "14", "12.5", "None of these")
CHARS = ("S", "C", "T", "R", "U")
ROMAN = ("I only", "II only", "I and II only")
SIGNED = ("5", "-5", "− 2")
PERCENT = ("15%", "15", "20")
TWINS = ("8.75", "8.79", "8.75")


@pytest.mark.parametrize(
    ("options", "body", "answer"),
    [
        (YES, "(A) yes.", "yes"),
        (YES, "No", "no"),
        (YES, "B", "no"),
        (YES, "b.", "no"),
        (YES, "B. no", "no"),
        (YES, "option B.", "no"),
        (YES, "yes, because a pear sinks.", "yes"),
        (YES, "A because it floats", "yes"),
        (YES, r"\text{no}", "no"),
        (YES, '"yes".', "yes"),
        (LABELS, "(C) contradiction, as the premise says.", "contradiction"),
        (LABELS, "entailment, not (B) neutral", "entailment"),
        (WATER, "body of water", "body of water"),
        (WATER, "a body of water.", "body of water"),
        (WATER, "water.", "water"),
        (WATER, "(D) body of water.", "body of water"),
        (WATER, "the wooded area", "wooded area"),
        (WATER, "C wooded area", "wooded area"),
        (WATER, "that it would be in a wooded area", "wooded area"),
        (NUMBERS, "12", "12"),
        (NUMBERS, "12.5", "12.5"),
        (NUMBERS, "12 km", "12"),
        (NUMBERS, "25/2", "12.5"),
        (NUMBERS, "x = 13", "13"),
        (NUMBERS, "E: None of these", "None of these"),
        (CHARS, "(C).", "T"),
        (CHARS, "(C) T.", "T"),
        (CHARS, "S.", "S"),
        (CHARS, "A.", "S"),
        (ROMAN, "I and II only", "I and II only"),
        (ROMAN, "(C) I and II only.", "I and II only"),
        (SIGNED, "-5.", "-5"),
        (SIGNED, "(B) -5.", "-5"),
        (SIGNED, "(C) − 2.", "− 2"),
        (PERCENT, "15%", "15%"),
        (PERCENT, "(B) 15.", "15"),
        (TWINS, "(C) 8.75.", "8.75"),
        (TWINS, "C", "8.75"),
        (("2 2/3", "2"), "2 2/3", "2 2/3"),
        (("$2,000", "$200"), "2000 dollars", "$2,000"),
        (("48 min. past 12.", "46 min. past 12."), "46 min. past 12.", "46 min. past 12."),
    ],
)
def test_reads_the_option_that_is_named(options: tuple[str, ...], body: str, answer: str) -> None:
    index, outcome = Offered.of(options).read(body)
    assert outcome is ParseOutcome.PARSED
    assert index is not None
    assert options[index] == answer


@pytest.mark.parametrize(
    ("options", "body", "outcome"),
    [
        (YES, "(A) no.", ParseOutcome.AMBIGUOUS),
        (YES, "yes or no", ParseOutcome.AMBIGUOUS),
        (YES, "A or B", ParseOutcome.AMBIGUOUS),
        (YES, "(A) or (B)", ParseOutcome.AMBIGUOUS),
        (WATER, "(B) body of water", ParseOutcome.AMBIGUOUS),
        (WATER, "A wooded area", ParseOutcome.AMBIGUOUS),
        (WATER, "park, water", ParseOutcome.AMBIGUOUS),
        (NUMBERS, "(A) 13", ParseOutcome.AMBIGUOUS),
        (CHARS, "C.", ParseOutcome.AMBIGUOUS),
        (PERCENT, "(B) 15%", ParseOutcome.AMBIGUOUS),
        (YES, "not clear", ParseOutcome.NO_CONCLUSION),
        (YES, "nothing.", ParseOutcome.NO_CONCLUSION),
        (YES, "that no one knows", ParseOutcome.NO_CONCLUSION),
        (YES, "A wooden thing", ParseOutcome.NO_CONCLUSION),
        (YES, "(C)", ParseOutcome.NO_CONCLUSION),
        (WATER, "parking", ParseOutcome.NO_CONCLUSION),
        (WATER, "not water but gravity", ParseOutcome.NO_CONCLUSION),
        (NUMBERS, "120", ParseOutcome.NO_CONCLUSION),
        (("2 2/3", "2"), "2 2/5", ParseOutcome.NO_CONCLUSION),
        (YES, "", ParseOutcome.NO_CONCLUSION),
    ],
)
def test_never_guesses(options: tuple[str, ...], body: str, outcome: ParseOutcome) -> None:
    assert Offered.of(options).read(body) == (None, outcome)


@pytest.mark.parametrize(
    ("options", "body", "answer"),
    [(YES, "A", None), (YES, "no", None), (YES, "(A)", "yes"), (YES, "(A) y", "yes"), (("12", "1"), "(A) 1", "12")],
)
def test_a_name_may_be_cut_in_half(options: tuple[str, ...], body: str, answer: str | None) -> None:
    index, outcome = Offered.of(options).read(body, cut=True)
    assert (options[index] if index is not None else None) == answer
    assert outcome is (ParseOutcome.TRUNCATED if answer is None else ParseOutcome.PARSED)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("It is water.\nSo it is a park", 0),
        ("Both park and water fit.", None),
        ("It is (D). Nothing more.", 3),
        ("Who knows", None),
    ],
)
def test_the_option_named_last(text: str, named: int | None) -> None:
    assert Offered.of(WATER).named_last(text) == named


texts = (
    st.text(alphabet="abcdeABCDE 0123.-/%$", min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda text: any(c.isalnum() for c in text))
)


@given(st.lists(texts, min_size=2, max_size=6), st.data())
def test_letter_with_text_always_reads_back(options: list[str], data: st.DataObject) -> None:
    offered = Offered.of(tuple(options))
    index = data.draw(st.integers(0, len(options) - 1))
    named, outcome = offered.read(f"({LETTERS[index]}) {options[index]}.")
    assert outcome is ParseOutcome.PARSED
    assert named is not None
    assert offered.keys[named] == offered.keys[index]


@given(st.lists(texts, min_size=2, max_size=6, unique_by=str.lower), st.text(max_size=60), st.booleans())
def test_any_text_has_an_outcome(options: list[str], body: str, cut: bool) -> None:
    index, outcome = Offered.of(tuple(options)).read(body, cut=cut)
    assert (index is None) == (outcome is not ParseOutcome.PARSED)
