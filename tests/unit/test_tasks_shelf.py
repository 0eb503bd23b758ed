"""Problems on disk are those that were put there, in their order."""

import gc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.records import Problem
from elad.tasks.shelf import Shelf

plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.none() | numbers | plain | st.lists(numbers | plain, max_size=3)
problems = st.builds(
    Problem,
    id=plain,
    question=plain,
    choices=st.none() | st.lists(plain, max_size=3).map(tuple),
    answer=st.none() | plain,
    metadata=st.dictionaries(plain, values, max_size=3),
)


@given(st.lists(problems, max_size=12), st.slices(14))
def test_a_shelf_is_the_list_of_the_first_problem_of_each_id(given: list[Problem], part: slice) -> None:
    shelf, kept = Shelf(), dict[str, tuple[str, Problem]]()
    for place, problem in enumerate(given):
        source = f"pool.jsonl:{place}"
        assert shelf.put(problem, source) == (kept[problem.id][0] if problem.id in kept else None)
        kept.setdefault(problem.id, (source, problem))
    expected = [problem for _, problem in kept.values()]
    assert list(shelf) == [shelf[place] for place in range(len(shelf))] == expected
    assert list(shelf[part]) == expected[part]
    assert list(reversed(shelf)) == expected[::-1]
    with pytest.raises(IndexError):
        shelf[len(expected)]


def test_nothing_stays_of_a_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    shelf = Shelf()
    for place in range(3000):
        shelf.put(Problem(id=str(place), question="How many pens? " * 200), "pool.jsonl")
    assert shelf[2999].id == "2999"
    assert not list(tmp_path.iterdir())
    del shelf
    gc.collect()  # a database that is not closed would be a warning, and so an error
