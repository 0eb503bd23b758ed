"""The packaged sample: what it promises, checked apart from the script that made it."""

import importlib.util
import json
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad import sample

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"pool": 120, "heldout": 60, "warmup": 24}
LINE = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)\.")


def rows(name: str) -> list[dict[str, str]]:
    text = (sample.folder() / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def words(question: str) -> set[str]:
    return set(re.findall(r"[a-z]{3,}", question.lower()))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sample", ROOT / "tools" / "make_sample.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SIZES)
def test_each_file_has_its_rows_and_fields(name: str) -> None:
    found = rows(name)
    assert len(found) == SIZES[name]
    assert all(list(row) == ["id", "question", "answer", "rationale"] for row in found)
    assert all(isinstance(value, str) and value for row in found for value in row.values())


def test_no_row_is_there_twice() -> None:
    every = [row for name in SIZES for row in rows(name)]
    assert len({row["id"] for row in every}) == len(every)
    assert len({" ".join(row["question"].lower().split()) for row in every}) == len(every)


@pytest.mark.parametrize("name", SIZES)
def test_each_rationale_calculates_the_answer_from_the_question(name: str) -> None:
    signs = {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__, "/": Fraction.__truediv__}
    for row in rows(name):
        known = set(re.findall(r"\d+", row["question"]))
        result = ""
        for line in row["rationale"].split("\n"):
            match = LINE.fullmatch(line)
            assert match, row
            left, sign, right, result = match.groups()
            assert {left, right} <= known, row
            assert signs[sign](Fraction(left), Fraction(right)) == Fraction(result), row
            known.add(result)
        assert result == row["answer"], row


def test_no_held_out_story_is_in_the_pool_or_the_warm_up() -> None:
    for held in rows("heldout"):
        mine = words(held["question"])
        for other in (*rows("pool"), *rows("warmup")):
            theirs = words(other["question"])
            assert len(mine & theirs) / len(mine | theirs) < 0.65, (held["question"], other["question"])


def test_the_licence_and_the_changes_travel_with_the_data() -> None:
    text = (sample.folder() / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "Copyright (c) 2021 Arkil Patel" in text
    assert "Permission is hereby granted, free of charge" in text
    assert "What was changed" in text


def test_the_files_are_what_the_tool_makes(shared: Path, tool: Any, tmp_path: Path) -> None:
    tool.make(shared / "data" / "svamp", tmp_path)
    for name in (*SIZES, "steps"):
        file = f"{name}.jsonl"
        assert (tmp_path / file).read_bytes() == (sample.folder() / file).read_bytes()


def test_the_chains_with_known_errors_are_what_the_tool_makes_of_the_pool(tool: Any) -> None:
    made = [json.dumps(row, ensure_ascii=False) for row in tool.step_rows(rows("pool"))]
    assert made == (sample.folder() / "steps.jsonl").read_text(encoding="utf-8").splitlines()


def test_each_chain_goes_wrong_where_it_says_and_nowhere_before() -> None:
    known: dict[str, Any] = {row["id"]: row for row in rows("pool")}
    chains: list[dict[str, Any]] = [dict(row) for row in rows("steps")]
    assert len({row["id"] for row in chains}) == len(chains) == 26
    assert sum(row["first_error"] >= 0 for row in chains) == 16
    for row in chains:
        right = known[row["id"]]["rationale"].split("\n")
        assert row["reference_solution"] == "\n".join(right)
        assert (row["question"], row["answer"]) == (known[row["id"]]["question"], known[row["id"]]["answer"])
        *steps, end = row["steps"]
        at = row["first_error"] if row["first_error"] >= 0 else len(right)
        assert len(steps) == len(right)
        assert steps[:at] == right[:at]
        assert all(step != line for step, line in zip(steps[at:], right[at:], strict=True))
        assert end == f"The answer is {results(steps)[-1]}."
        assert (results(steps)[-1] == row["answer"]) is (row["first_error"] < 0)


def test_only_the_spoilt_step_may_be_false_and_its_result_is_carried_on() -> None:
    signs = {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__, "/": Fraction.__truediv__}
    for row in rows("steps"):
        *steps, _ = row["steps"]
        at = int(row["first_error"])
        for n, step in enumerate(steps):
            match = LINE.fullmatch(step)
            assert match, row
            left, sign, right, result = match.groups()
            holds = signs[sign](Fraction(left), Fraction(right)) == Fraction(result)
            assert holds is not (n == at and row["spoilt"] == "result"), row
            if n > at >= 0:
                assert {left, right} & set(results(steps[:n])), row


def results(steps: Sequence[str]) -> list[str]:
    """What each step comes to."""
    return [match[4] for match in map(LINE.fullmatch, steps) if match]


@given(st.lists(st.tuples(st.sampled_from("+*"), st.integers(0, 99)), min_size=1, max_size=4))
def test_a_nested_equation_becomes_one_operation_a_line(tool: Any, parts: list[tuple[str, int]]) -> None:
    equation, value, expected = "7.0", 7, []
    for sign, number in parts:
        result = value + number if sign == "+" else value * number
        equation = f"( {equation} {sign} {number}.0 )"
        expected.append(f"{value} {sign} {number} = {result}.")
        value = result
    question = "7, " + ", ".join(str(number) for _, number in parts)
    assert tool.rationale(question, f"{equation} = {value}.0", str(value)) == "\n".join(expected)


@pytest.mark.parametrize(
    ("question", "equation", "answer"),
    [
        ("8 birds", "8.0 = 8.0", "8"),
        ("8 and 2", "( 8.0 - 2.0 ) = 5.0", "5"),
        ("8 and 2", "( 8.0 - 2.0 ) = 6.0", "7"),
        ("8 birds", "( 8.0 - 2.0 ) = 6.0", "6"),
        ("2 and 8", "( 2.0 - 8.0 ) = -6.0", "-6"),
        ("3 and 2", "( 3.0 / 2.0 ) = 1.5", "1.5"),
        ("3 and 0", "( 3.0 / 0.0 ) = 0.0", "0"),
        ("3 and 2", "( 3.0 - 2.0 = 1.0", "1"),
        ("3 and 2", "( 3.0 ^ 2.0 ) = 9.0", "9"),
        ("3 and 2", "( 3.0 - 2.0 ) 1.0 = 1.0", "1"),
        ("3 and 2", "", "1"),
    ],
)
def test_a_row_that_does_not_add_up_is_unfit(tool: Any, question: str, equation: str, answer: str) -> None:
    with pytest.raises(tool.UnfitError):
        tool.rationale(question, equation, answer)
