import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.records import Problem
from elad.teachers.finding import AnswerKey, first_wrong_step, judge_step

BAGS = Problem(
    id="q",
    question="Tom has 3 bags of 4 apples and eats 2. He sells the rest for 5 cents each. What does he earn?",
    answer="50",
    rationale="He has 3 * 4 = 12 apples.\nAfter eating there are 12 - 2 = 10 apples.\nHe earns 10 * 5 = 50 cents.",
)
BARE = Problem(id="q", question=BAGS.question, answer="50")
SKY = Problem(id="q", question="Is the sky blue?", choices=("yes", "no"), answer="yes")


@pytest.mark.parametrize(
    ("steps", "index"),
    [
        (["3 * 4 = 12 apples.", "12 - 2 = 10 are left.", "10 * 5 = 50.", "The answer is 50."], None),
        (["3 * 4 = 12 apples.", "12 - 2 = 9 are left.", "9 * 5 = 45.", "The answer is 45."], 1),
        (["3 * 4 = 12 apples.", "12 * 5 = 60 cents.", "60 - 2 = 58.", "The answer is 58."], 1),
        (["3 + 4 = 7 apples.", "7 - 2 = 5.", "5 * 5 = 25.", "The answer is 25."], 0),
        (["3 * 4 = 12 apples.", "12 - 2 = 10 are left.", "The answer is 10."], 1),
        (["He has 3 * 4 = 12 apples.", "After eating there are 12 - 2 = 10 apples.", "The answer is 10."], 2),
        (["4 * 5 = 20 cents a bag.", "3 * 20 = 60.", "60 - 2 * 5 = 50.", "The answer is 50."], None),
        (["4 * 5 = 20 cents a bag.", "3 * 20 = 61.", "So he earns 50.", "The answer is 50."], 1),
        (["He has bags.", "He eats.", "The answer is 50."], None),
        (["He has bags.", "He eats.", "The answer is 7."], 2),
        (["He has 17 bags.", "The answer is 5."], 0),
        (["3 * 4 = 12 apples.", "12 - 2 = 10 are left."], 1),
    ],
)
def test_the_first_wrong_step_is_named(steps: list[str], index: int | None) -> None:
    found = first_wrong_step(BAGS, steps)
    assert found.index == index
    assert found.reason


@pytest.mark.parametrize(
    ("steps", "index"),
    [
        (["4 * 5 = 20 cents a bag.", "3 * 20 = 60.", "The answer is 60."], 2),
        (["4 * 5 = 21 cents a bag.", "The answer is 50."], 0),
        (["4 * 5 = 20 cents a bag.", "The answer is 50."], None),
    ],
)
def test_without_a_reference_solution_the_end_decides(steps: list[str], index: int | None) -> None:
    found = first_wrong_step(BARE, steps)
    assert found.index == (1 if index == 2 else index)


@pytest.mark.parametrize(
    ("end", "index"), [("The answer is (A) yes.", None), ("The answer is (B) no.", 1), ("Who knows?", 1)]
)
def test_of_reasoning_in_words_the_conclusion_is_judged(end: str, index: int | None) -> None:
    assert first_wrong_step(SKY, ["In 1871 it was explained.", end]).index == index


def test_no_steps_hold_no_wrong_one() -> None:
    assert first_wrong_step(BAGS, []).index is None


def test_without_a_gold_answer_nothing_is_said() -> None:
    with pytest.raises(ValueError, match="no gold answer"):
        first_wrong_step(Problem(id="q", question="?"), ["1"])
    with pytest.raises(ValueError, match="option"):
        first_wrong_step(Problem(id="q", question="?", choices=("a", "b"), answer="c"), ["1"])


@pytest.mark.parametrize(
    ("accepted", "step", "wrong"),
    [
        ([], "3 * 4 = 12 apples.", False),
        ([], "3 * 4 = 13 apples.", True),
        (["3 * 4 = 12 apples."], "12 * 5 = 60 cents.", True),
        (["3 * 4 = 12 apples.", "12 * 5 = 60."], "The 60 cents are too many.", False),
        ([], "The answer is 50.", False),
        ([], "The answer is 10.", True),
    ],
)
def test_one_step_is_judged_by_what_came_before(accepted: list[str], step: str, wrong: bool) -> None:
    assert judge_step(BAGS, accepted, step).index == (len(accepted) if wrong else None)


def test_what_remains_is_what_was_not_reached() -> None:
    key = AnswerKey(BAGS)
    assert len(key.remaining([])) == 3
    assert key.remaining(["There are 12 - 2 = 10."]) == [key.lines[0], key.lines[2]]
    assert key.remaining(["3 * 4 = 12.", "12 - 2 = 10.", "10 * 5 = 50."]) == []


STEPS = st.lists(st.text(max_size=40) | st.from_regex(r"\d{1,3} [-+*/] \d{1,3} = \d{1,3}\.", fullmatch=True))


@given(steps=STEPS)
def test_an_index_is_one_of_the_steps(steps: list[str]) -> None:
    index = first_wrong_step(BAGS, steps).index
    assert index is None or 0 <= index < len(steps)


@given(steps=STEPS.filter(bool), more=STEPS)
def test_a_false_step_is_never_passed(steps: list[str], more: list[str]) -> None:
    index = first_wrong_step(BAGS, [*steps, "2 + 2 = 5.", *more]).index
    assert index is not None
    assert index <= len(steps)


def test_on_mathdial_it_names_what_people_named(shared: Path) -> None:
    path = shared / "data" / "steps_mathdial" / "test.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][::4]
    right = 0
    for row in rows:
        rationale = "\n".join(row["reference_solution"].split("\n")[:-1])
        problem = Problem(id=row["id"], question=row["question"], answer=row["answer"], rationale=rationale)
        right += first_wrong_step(problem, row["steps"]).index == row["first_error"]
        assert first_wrong_step(problem, rationale.split("\n")).index in (None, len(rationale.split("\n")) - 1)
    assert right / len(rows) > 0.4
