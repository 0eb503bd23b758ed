import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import ConfigError, DataError
from elad.records import Problem
from elad.tasks.reading import read, refuse_overlap, same_question


def _write(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> str:
    (folder / name).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return name


def _read(folder: Path, *names: str, limit: int | None = None, **columns: str) -> Sequence[Problem]:
    return read(names[0] if len(names) == 1 else list(names), columns=columns, limit=limit, base=folder)


def test_reads_sources_in_order_up_to_the_limit(tmp_path: Path) -> None:
    first = _write(tmp_path, "a.jsonl", [{"id": "1", "question": "one"}, {"id": "2", "question": "two"}])
    second = _write(tmp_path, "b.jsonl", [{"id": "3", "question": "three"}, {"id": "4"}])
    assert [p.id for p in _read(tmp_path, first, second, limit=3)] == ["1", "2", "3"]
    assert [p.id for p in _read(tmp_path, first, limit=1)] == ["1"]
    with pytest.raises(DataError, match=r"b\.jsonl:2: no column 'question'"):
        _read(tmp_path, first, second)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"empty\.jsonl: expected at least one row"):
        _read(tmp_path, _write(tmp_path, "empty.jsonl", []))


def test_unknown_fields_are_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.columns\.anwser: unknown field; did you mean 'answer'"):
        _read(tmp_path, "a.jsonl", anwser="x")


def test_an_id_is_given_once(tmp_path: Path) -> None:
    rows = [{"id": "1", "question": "one"}, {"id": "1", "question": "two"}]
    with pytest.raises(DataError, match=r"a\.jsonl:2: id '1' is taken by a\.jsonl:1"):
        _read(tmp_path, _write(tmp_path, "a.jsonl", rows))
    again = _write(tmp_path, "b.jsonl", rows[:1])
    with pytest.raises(DataError, match=r"b\.jsonl:1: id '1' is taken by c\.jsonl:1"):
        _read(tmp_path, _write(tmp_path, "c.jsonl", rows[:1]), again)


def test_rows_without_ids_that_are_alike_are_one_problem(tmp_path: Path) -> None:
    rows = [
        {"question": "one", "answer": "1"},
        {"question": "one", "answer": "1"},
        {"question": "one", "answer": "2"},
    ]
    assert [p.answer for p in _read(tmp_path, _write(tmp_path, "a.jsonl", rows))] == ["1", "2"]


def test_a_question_under_two_ids_is_kept(tmp_path: Path) -> None:
    rows = [{"id": "1", "question": "one"}, {"id": "2", "question": "one"}]
    assert len(_read(tmp_path, _write(tmp_path, "a.jsonl", rows))) == 2


def test_an_answer_may_be_null(tmp_path: Path) -> None:
    (found,) = _read(tmp_path, _write(tmp_path, "a.jsonl", [{"id": "1", "question": "one", "answer": None}]))
    assert found.answer is None


POOL = [
    Problem(id="p1", question="Where is  it?", choices=("park", "water")),
    Problem(id="p2", question="How many?", context="Tom has 3."),
]


@pytest.mark.parametrize(
    "heldout",
    [
        Problem(id="h", question="where is it? ", choices=("Water", "park")),
        Problem(id="h", question="How many?", context="tom has\n3."),
    ],
)
def test_shared_questions_are_refused(heldout: Problem) -> None:
    with pytest.raises(DataError, match=r"1 held-out question.*'h'.*'p"):
        refuse_overlap(POOL, [Problem(id="other", question="Other?"), heldout])


def test_questions_with_other_options_or_context_are_others() -> None:
    refuse_overlap(
        POOL,
        [
            Problem(id="h1", question="Where is it?", choices=("park", "lake")),
            Problem(id="h2", question="Where is it?"),
            Problem(id="h3", question="How many?", context="Tom has 4."),
        ],
    )
    assert len({same_question(problem) for problem in POOL}) == len(POOL)


@given(st.text(min_size=1), st.sampled_from([" ", "\n", "\t  "]))
def test_case_and_spacing_make_no_other_question(text: str, space: str) -> None:
    other = space.join(["", *text.split(), ""])
    same = same_question(Problem(id="a", question=text)) == same_question(Problem(id="b", question=other))
    assert same


def test_real_rows_keep_what_others_recorded(shared: Path) -> None:
    problems = read("csqa/train.jsonl.gz", columns={}, limit=50, base=shared / "data")
    assert len(problems) == 50
    assert all(p.choices and p.answer in p.choices for p in problems)
    assert {"teacher_rationales", "source", "split", "task"} <= set(problems[0].metadata)
