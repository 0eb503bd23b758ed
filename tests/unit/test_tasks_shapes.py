from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import DataError
from elad.records import Problem
from elad.tasks.shapes import Shaped, solution


def _problem(row: dict[str, Any], **columns: str) -> Problem:
    return Shaped(row, columns, "f:1").problem()[0]


def test_a_full_row() -> None:
    row = {
        "id": 7,
        "question": " Where? ",
        "choices": ["park", 12],
        "answer": "park",
        "rationale": "It is green.",
        "context": "Rain.",
        "teacher_rationales": [{"teacher": "t", "text": "x"}],
        "answer_index": 0,
    }
    assert _problem(row) == Problem(
        id="7",
        question="Where?",
        choices=("park", "12"),
        answer="park",
        rationale="It is green.",
        context="Rain.",
        metadata={"teacher_rationales": row["teacher_rationales"]},
    )


def test_columns_by_other_names() -> None:
    found = _problem({"q": "Where?", "gold": 18.0, "question": "kept"}, question="q", answer="gold")
    assert (found.question, found.answer, found.metadata) == ("Where?", "18", {"question": "kept"})


@pytest.mark.parametrize(
    ("answer", "index", "chosen"),
    [
        ("water", None, "water"),
        ("Water ", None, "water"),
        ("B", None, "water"),
        ("(b)", None, "water"),
        ("A", None, "A"),
        (None, 2, "A"),
        ("A", 2, "A"),
        (None, None, None),
        ("", None, None),
    ],
)
def test_a_choice_by_text_letter_or_index(answer: str | None, index: int | None, chosen: str | None) -> None:
    row = {"question": "?", "choices": ["park", "water", "A"], "answer": answer, "answer_index": index}
    assert _problem(row).answer == chosen


def test_prompt_and_completion() -> None:
    found = _problem({"prompt": "3 + 4?", "completion": "3 + 4 = 7.\nThe answer is 7."})
    assert (found.question, found.answer, found.rationale, found.metadata) == ("3 + 4?", "7", "3 + 4 = 7.", {})
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "3 + 4?"}]
    reply = [{"role": "assistant", "content": "7"}]
    found = _problem({"prompt": turns, "completion": reply})
    assert (found.question, found.answer, found.metadata) == ("3 + 4?", "7", {"prompt": turns, "completion": reply})
    assert _problem({"prompt": "3 + 4?"}).answer is None
    assert _problem({"prompt": turns, "answer": 7}).answer == "7"


def test_messages() -> None:
    turns = [
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "3 + 4?"},
        {"role": "assistant", "content": "3 + 4 = 7.\nThe final answer is **7**."},
    ]
    found = _problem({"messages": turns})
    assert (found.question, found.answer, found.rationale) == ("3 + 4?", "7", "3 + 4 = 7.")
    assert found.context == "User: 2 + 2?\nAssistant: 4"
    assert _problem({"messages": turns[:3]}).answer is None
    assert _problem({"messages": turns[2:]}).context is None
    with_choices = _problem(
        {"messages": [*turns[:3], {"role": "assistant", "content": "The answer is (B) 7."}], "choices": ["6", "7"]}
    )
    assert with_choices.answer == "7"


def test_what_was_said_before_the_question_is_its_context() -> None:
    turns = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Tom has 5 pens."},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": " He buys 3. How many now? "},
    ]
    reply = {"role": "assistant", "content": "5 + 3 = 8.\nThe answer is 8."}
    told = "User: Tom has 5 pens.\nAssistant: ok"
    for row in ({"messages": [*turns, reply]}, {"prompt": turns, "completion": [reply]}):
        found = _problem(row)
        assert (found.question, found.context, found.answer) == ("He buys 3. How many now?", told, "8")
        assert _problem(row | {"context": "A shop."}).context == f"A shop.\n\n{told}"


@pytest.mark.parametrize(
    ("text", "answer", "rationale"),
    [
        (None, None, None),
        ("", None, None),
        ("7", "7", None),
        ("3 + 4 = 7 #### 7", "7", "3 + 4 = 7"),
        ("3 + 4 = 7. So the answer is 7.", "7", "3 + 4 = 7."),
        ("The answer is $1,234.50.", "1,234.50", None),
        ("First this.\nThen that.", None, "First this.\nThen that."),
        ("x" * 100, None, "x" * 100),
    ],
)
def test_worked_solutions(text: str | None, answer: str | None, rationale: str | None) -> None:
    assert solution(text) == (answer, rationale)


def test_a_marked_answer_is_split_from_its_solution() -> None:
    found = _problem({"question": "?", "answer": "He has 48.\n48/2 = 24.\n#### 24"})
    assert (found.answer, found.rationale) == ("24", "He has 48.\n48/2 = 24.")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"qestion": "?"}, "no column 'question'; did you mean 'qestion'"),
        ({"question": None}, "column 'question': expected a text, found NoneType"),
        ({"question": 3}, "column 'question': expected a text, found int"),
        ({"question": "  "}, "expected a question, found an empty text"),
        ({"question": "?", "answer": ["7"]}, "column 'answer': expected a text or a number, found list"),
        ({"question": "?", "answer": True}, "expected a text or a number, found bool"),
        ({"question": "?", "answer": float("nan")}, "expected a text or a number, found float"),
        ({"question": "?", "choices": "yes"}, "expected a list of texts, found str"),
        ({"question": "?", "choices": ["yes"]}, "expected 2 to 26 texts, none empty, found 1"),
        ({"question": "?", "choices": ["yes", " "]}, "expected 2 to 26 texts"),
        ({"question": "?", "choices": ["yes", ["no"]]}, "expected 2 to 26 texts"),
        ({"question": "?", "choices": ["a"] * 27}, "expected 2 to 26 texts, none empty, found 27"),
        ({"question": "?", "choices": ["yes", "no"], "answer": "yse"}, "'yse' is not among .* mean 'yes'"),
        ({"question": "?", "choices": ["yes", "no"], "answer": "no idea"}, "'no idea' is not among"),
        ({"question": "?", "choices": ["yes", "no"], "answer_index": 2}, "expected 0 to 1, found 2"),
        ({"question": "?", "choices": ["yes", "no"], "answer_index": "0"}, "expected a whole number, found str"),
        ({"question": "?", "choices": ["yes", "no"], "answer": "no", "answer_index": 0}, "is not the choice that"),
        ({"messages": "hello"}, "expected a list of messages, found str"),
        ({"messages": []}, "no column 'question'|expected a list of messages"),
        ({"messages": ["hello"]}, "expected messages with a role and a text content"),
        ({"messages": [{"role": "assistant", "content": "7"}]}, "expected a message of the user, found none"),
        ({"prompt": "?", "completion": "The answer is 9.", "choices": ["1", "2"]}, "'9' is not among the choices"),
    ],
)
def test_what_is_wrong_is_said(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        _problem(row)
    assert str(raised.value).startswith("f:1: ")


def test_a_mapped_column_must_be_there() -> None:
    with pytest.raises(DataError, match="no column 'gold'; did you mean 'golds'"):
        _problem({"question": "?", "golds": 1}, answer="gold")
    with pytest.raises(DataError, match="no column 'q'"):
        _problem({"question": "?"}, question="q")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["role", "content", "x"]), inner),
    max_leaves=6,
)
fields = st.sampled_from("id question context choices answer answer_index rationale prompt completion messages".split())


@given(st.dictionaries(fields, values))
def test_any_row_gives_a_problem_or_a_data_error(row: dict[str, Any]) -> None:
    found: list[Problem] = []
    complaint = "f:1: "
    try:
        found.append(_problem(row))
    except DataError as error:
        complaint = str(error)
    assert complaint.startswith("f:1: ")
    assert all(problem.id and problem.question.strip() for problem in found)
    assert all(p.answer is None or p.choices is None or p.answer in p.choices for p in found)


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_an_id_is_made_from_the_content(first: str, second: str) -> None:
    ids = {_problem({"question": question}).id for question in (first, second, first)}
    assert len(ids) == len({first.strip(), second.strip()})
