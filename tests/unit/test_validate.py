from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from elad.errors import DataError
from elad.kinds import build
from elad.protocols import Parsed
from elad.records import Problem, to_json
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.tasks.reading import read
from elad.tasks.text import Text
from elad.tasks.validate import kind_of, validate

SETS = {
    "numeric": "gsm8k svamp multiarith addsub singleeq".split(),
    "choice": "aqua anli esnli csqa strategyqa date_understanding shuffled_objects".split(),
    "text": ["last_letters"],
}
FILES = ("train", "validation", "test", "unlabelled")

SUM = Problem(id="a", question="3 + 4?", answer="7")
POND = Problem(id="b", question="Where?", choices=("water", "park"), answer="park")


def test_what_fits_is_all_right() -> None:
    found = validate([SUM, replace(SUM, id="c", question="1 + 1?", answer=None)], Numeric())
    assert to_json(found) == {"rows": 2, "graded_correct": 1, "problems": []}
    assert validate([POND], Choice()).graded_correct == 1
    assert validate([replace(SUM, answer="yajc")], Text()).graded_correct == 1


@pytest.mark.parametrize(
    ("problem", "task", "what"),
    [
        (replace(SUM, answer="many"), Numeric(), "'many' is not graded right"),
        (replace(SUM, answer="3 or 4"), Numeric(), "is ambiguous"),
        (SUM, Choice(), "needs 2 to 26 choices"),
        (replace(POND, answer="lake"), Choice(), "'lake' is not one of its options"),
        (replace(POND, choices=("park", "Park.")), Choice(), "no option but the gold one"),
    ],
)
def test_what_does_not_fit_is_named(problem: Problem, task: Numeric | Choice, what: str) -> None:
    found = validate([problem], task)
    assert found.graded_correct == 0
    assert [fault.id for fault in found.problems] == [problem.id]
    assert what in found.problems[0].what


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lax(Numeric):
    """A grader that finds everything right."""

    def same(self, first: str | None, second: str | None, problem: Problem) -> bool:
        return first is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letterless(Choice):
    """A grader that reads no letters."""

    def parse(self, text: str, problem: Problem, *, finished: bool = True) -> Parsed:
        return Choice.parse(self, text.replace("(B).", "?"), problem, finished=finished)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Textless(Choice):
    """A grader that reads no texts."""

    def parse(self, text: str, problem: Problem, *, finished: bool = True) -> Parsed:
        return Choice.parse(self, text.replace("is park", "is it"), problem, finished=finished)


def test_faulty_graders_are_found_out() -> None:
    assert "a wrong answer is graded right" in validate([SUM], _Lax()).problems[0].what
    assert "by its text 'park'" in validate([POND], _Textless()).problems[0].what
    assert "by its letter 'B'" in validate([POND], _Letterless()).problems[0].what


def test_a_text_that_is_another_options_letter_needs_its_own() -> None:
    letters = replace(POND, choices=("S", "C", "T"), answer="C")
    assert validate([letters], Choice()).problems == ()


def test_repeated_questions_are_reported_and_still_counted() -> None:
    found = validate([SUM, replace(SUM, id="c"), replace(SUM, id="d", answer="8")], Numeric())
    assert found.graded_correct == 3
    assert [(fault.id, fault.what) for fault in found.problems] == [
        ("c", "same question as 'a'"),
        ("d", "same question as 'a', with another answer"),
    ]


def test_the_family_follows_from_the_answers() -> None:
    assert kind_of([SUM, replace(SUM, answer=None)]) == "numeric"
    assert kind_of([SUM, replace(SUM, answer="yajc")]) == "text"
    assert kind_of([replace(SUM, answer=None)]) == "text"
    assert kind_of([POND]) == "choice"
    with pytest.raises(DataError, match="'a' has no choices, and 'b' has some"):
        kind_of([SUM, POND])


MOST = 600
"""Of each file: all of them take two minutes."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", SETS)
def test_real_questions_validate(shared: Path, kind: str) -> None:
    for name in SETS[kind]:
        for file in FILES:
            source = f"{name}/{file}.jsonl.gz"
            if not (shared / "data" / source).exists():
                continue
            problems = read(source, columns={}, limit=MOST, base=shared / "data")
            assert kind_of(problems) == kind
            found = validate(problems, build("elad.tasks", kind, "task"))
            assert (source, found.problems) == (source, ())
            assert found.graded_correct == sum(problem.answer is not None for problem in problems)
