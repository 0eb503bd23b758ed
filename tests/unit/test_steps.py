import gzip
import json
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.steps import is_conclusion, split

UNBOUNDED = 10**6
CONCLUSIONS = [
    "The answer is 5.",
    "So the answer is 5.",
    "So, the answer is: 5",
    "Therefore, the final answer is 5.",
    "Thus the correct answer choice is (D).",
    "Hence, the correct option is (B).",
    "The final answer to the question is 12.",
    "Answer: B",
    "**Answer:** B",
    "Final Answer: 12",
    "#### 5",
    "#### yes",
    "Step 4: The answer is 5.",
    "3. So the answer is 5.",
    r"It takes \(\boxed{40}\) minutes.",
]
REASONING = [
    "",
    "He has 5 apples.",
    "The answer must be a place where people run.",
    "The answer should be a feeling.",
    "Wait, this is not the answer.",
    "We do not know what the answer is.",
    "The answer is not 5.",
    "#### Step 2: add",
    "The solution is 5% acid.",
]
FRAGMENTS = [
    *("He has 3.5 kg", "Mr. Smith", "5 ft. tall", "e.g. this", "No. 5", "at 5 p.m.", "J. K. Rowling", "3 + 4 = 7"),
    *(". ", "! ", "? ", "... ", ", ", "\n", "\n\n", "\r\n", " ", "\t", "。", "1.", "2)", "Step 2:", "- ", "**"),
    *("(", ")", "So ", "the answer is ", "The answer is 5", "#### 5", "Answer:", "\\boxed{5}", "“Yes.”", "We left"),
]  # fmt: skip
chains = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)


def pieces(text: str, most: int = UNBOUNDED) -> list[str]:
    return [step.text for step in split(text, most=most)]


@given(st.text() | chains, st.integers(1, 15))
def test_spans_partition_the_text(text: str, most: int) -> None:
    steps = split(text, most=most)
    assert "".join(step.text for step in steps) == text
    assert [step.end for step in steps] == list(accumulate(len(step.text) for step in steps))
    assert all(step.text and text[step.start : step.end] == step.text for step in steps)
    assert len(steps) <= most


@given(chains)
def test_a_prefix_is_split_as_the_whole(text: str) -> None:
    steps = split(text, most=UNBOUNDED)
    for count, step in enumerate(steps, start=1):
        assert split(text[: step.end], most=UNBOUNDED) == steps[:count]


@given(chains)
def test_steps_hold_letters_or_digits_and_end_in_their_white_space(text: str) -> None:
    found = pieces(text)
    assert all(not piece[0].isspace() for piece in found[1:])
    if len(found) > 1:
        assert all(any(map(str.isalnum, piece)) for piece in found)


@given(st.lists(st.sampled_from(["He runs. ", "She has 5.\n", "They go! "]), max_size=30), st.sampled_from(CONCLUSIONS))
def test_a_conclusion_at_the_end_is_a_step_of_its_own(steps: list[str], conclusion: str) -> None:
    assert pieces("".join(steps) + conclusion, most=12)[-1] == conclusion
    assert all(not is_conclusion(step) for step in pieces("".join(steps), most=12))


@given(st.integers(0, 20), st.integers(0, 20), st.integers(3, 15))
def test_a_surplus_is_merged_around_the_conclusion(before: int, after: int, most: int) -> None:
    conclusion = "The answer is 5. "
    text = "He runs. " * before + conclusion + "I am glad. " * after
    found = pieces(text, most=most)
    assert len(found) == min(most, before + 1 + after)
    assert conclusion in found
    place = found.index(conclusion)
    assert all(piece == "He runs. " for piece in found[: max(0, place - 1)])
    assert len(found[place + 1 :]) >= min(1, after)


def test_the_surplus_goes_into_the_last_step_before_the_conclusion() -> None:
    text = "One goes. Two go. Three go. Four go. The answer is 5."
    assert pieces(text, most=3) == ["One goes. ", "Two go. Three go. Four go. ", "The answer is 5."]
    assert pieces(text, most=2) == ["One goes. Two go. Three go. Four go. ", "The answer is 5."]
    assert pieces(text, most=1) == [text]
    assert pieces(text + " Bye.", most=2) == ["One goes. ", "Two go. Three go. Four go. The answer is 5. Bye."]
    assert pieces("One goes. Two go. Three go.", most=2) == ["One goes. ", "Two go. Three go."]


@pytest.mark.parametrize(
    "parts",
    [
        ["He has 3.5 kg. ", "She has $3.50. ", "Both have 1,250.75 in all."],
        ["Mr. and Mrs. Smith met Dr. Jones vs. Mt. Everest, e.g. there, i.e. here. ", "He left."],
        ["He came at 5 p.m. ", "She came at 7 a.m. and ate pies, cakes, etc. at once."],
        ["It is 5 ft. tall and 12 in. long, a 3 lb. bag of 5 ft. 3 in. in all. ", "So it fits."],
        ["That is the box he came in. ", "Then he left."],
        ["George W. Bush met J. K. Rowling. ", "They left."],
        ["He (J. Smith) left. ", "He chose B. ", "Then he left."],
        ["Bob and I. ", "We left."],
        ["See No. 5 and Fig. 2 of Jan. 5. ", "Is it a no. ", "Yes."],
        ["He waits... and then goes. ", "Wait... ", "Let us go!"],
        ["There are 5! ways to do it. ", "Really? ", "Yes!"],
        ['He said "stop!" and left. ', 'She said "go." ', "They went."],
        ["1. Add 3 and 4.\n", "2) Take 5.\n", "- and go on"],
        ["Step 1: add 3 + 4 = 7 ", "Step 2: take 5 ", "Step 3: 2"],
        ["Step 1:\nVicki - i\n", "Step 2:\nthe end"],
        ["There are 30 pennies.", "Total pennies are 30."],
        ["One line\n\n  ", "and another\r\n", "and a third. ", "It has two.\n"],
        ["We have\n\\[\n", "x = 5\n\\]\n", "so it goes"],
        ["   \n He runs. ", "She runs."],
        ["有三个苹果。", "再加两个。"],
        ["5 + 3 = 8, ", "so the answer is 8."],
        ["5 + 3 = 8 ", "The answer is 8"],
        ["5 + 3 = 8\n", "#### 8"],
        ["5 + 3 = 8 ", "#### 8"],
        ["It is 8. ", "The answer is 8. ", "I hope it helps."],
        ["Add them.\n", "Answer:\n8"],
        ["We know that the answer is even. ", "It ends."],
        ["Let's see: ? and ? are open. ", "Good."],
    ],
)
def test_where_texts_are_cut(parts: list[str]) -> None:
    assert pieces("".join(parts)) == parts


@pytest.mark.parametrize("text", CONCLUSIONS)
def test_conclusions_are_known(text: str) -> None:
    assert is_conclusion(text)
    assert is_conclusion(f"\n  {text}\n")


@pytest.mark.parametrize("text", REASONING)
def test_reasoning_is_no_conclusion(text: str) -> None:
    assert not is_conclusion(text)


def test_an_empty_text_has_no_steps_and_white_space_is_one() -> None:
    assert split("") == ()
    assert pieces(" \n ") == [" \n "]


@pytest.mark.parametrize("most", [0, -1])
def test_no_room_for_a_step_is_refused(most: int) -> None:
    with pytest.raises(ValueError, match="cannot be split"):
        split("He runs.", most=most)


@pytest.mark.parametrize(
    "unit",
    [".", ". ", "a. ", ".)", " ", "\n", "So ", "the answer ", "*", "\\boxed{", "Step 1: ", "A. B. ", "#### ", "。"],
)  # fmt: skip
def test_hostile_texts_are_split_in_linear_time(unit: str) -> None:
    # What is not linear in the text does not come back from a text of this size.
    text = unit * (1_000_000 // len(unit) if unit == "." else 200_000 // len(unit))
    assert "".join(pieces(text, most=12)) == text


def real_texts(folder: Path, random: Random) -> Iterator[str]:
    """A sample of reference solutions, teachers' solutions and stepwise solutions."""
    for path in sorted(folder.glob("*/*.jsonl.gz")):
        if path.parent.name.startswith("steps_") or path.name == "train.jsonl.gz":
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                rows = [json.loads(line) for line in lines]
            for row in random.sample(rows, min(25, len(rows))):
                yield from (row["rationale"],) if row.get("rationale") else ()
                yield from (rationale["text"] for rationale in row.get("teacher_rationales", [])[:2])
                yield from ("\n".join(row["steps"]),) if "steps" in row else ()


def test_real_texts_are_split(shared: Path) -> None:
    texts = list(real_texts(shared / "data", Random(0)))
    assert len(texts) > 500
    for text in texts:
        steps = split(text)
        assert "".join(step.text for step in steps) == text
        assert 1 <= len(steps) <= 12
        whole = split(text, most=UNBOUNDED)
        for count in range(1, min(6, len(whole))):
            assert split(text[: whole[count].start], most=UNBOUNDED) == whole[:count]
