"""The scripted student keeps the contract of a student, and its scripts do what they say."""

import json
import re
from math import log
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.asks import Prompt
from elad.errors import ConfigError, StudentError
from elad.protocols import Fit, Student, StudentSettings
from elad.records import Example, Message, Sampling
from elad.students.fake import Fake, FakeStudent

GREEDY = Sampling(max_tokens=200)
WARM = Sampling(temperature=0.7, max_tokens=200)
MASTER = Fake(skill=1.0).open()
PEARS = "Tom has 12 pears. He ate 3. Then he got 5 more. How many pears does he have?"


def prompt(question: str, prefix: str = "", seed: int = 0) -> Prompt:
    system = Message(role="system", content='Solve it. End with "The answer is N."')
    return Prompt(messages=(system, Message(role="user", content=question)), prefix=prefix, seed=seed)


def say(student: Student, question: str, prefix: str = "", seed: int = 0, sampling: Sampling = GREEDY) -> str:
    (generation,) = student.generate([prompt(question, prefix, seed)], sampling)
    return generation.text


def teach(student: Student, folder: Path, targets: dict[str, str]) -> Fit:
    examples = [
        Example(problem_id=question, messages=prompt(question).messages, target=target, source="repaired")
        for question, target in targets.items()
    ]
    shares: list[float] = []
    fit = student.fit(examples, cast(Any, None), folder=folder, progress=shares.append)
    assert shares == [1.0]
    return fit


numbers = st.integers(1, 999)
questions = st.builds(
    lambda a, b, c: f"A box holds {a} eggs. {b} are lost. Ann adds {c}. How many now?",
    numbers,
    numbers,
    numbers,
)


@given(numbers, numbers, numbers)
def test_a_master_is_always_right(a: int, b: int, c: int) -> None:
    text = say(MASTER, f"A box holds {a:,} eggs. The cat broke {b}. Ann adds {c} more. How many now?")
    assert text == f"{a} - {b} = {a - b}.\n{a - b} + {c} = {a - b + c}.\nThe answer is {a - b + c}."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Ann had 3.5 litres and used 1.25. How much is left?", "2.25"),
        ("How many is 1,250 and 250?", "1500"),
        ("There are 9 birds. How many remain?", "9"),
        ("What is the last word here?", "here"),
        ("", "nothing"),
    ],
)
def test_questions_of_many_kinds(question: str, answer: str) -> None:
    assert say(MASTER, question).endswith(f"The answer is {answer}.")


@given(questions, st.floats(0, 1), st.integers(0, 9), st.integers(0, 2**62), st.integers(0, 2**62))
def test_greedy_ignores_the_seed_and_samples_follow_it(
    question: str, skill: float, own: int, one: int, other: int
) -> None:
    student = Fake(skill=skill, seed=own).open()
    assert say(student, question, seed=one) == say(student, question, seed=other)
    drawn = say(student, question, seed=one, sampling=WARM)
    assert drawn == say(student, question, seed=one, sampling=WARM)
    both = student.generate([prompt(question, seed=other), prompt(question, seed=one)], WARM)
    assert both[1].text == drawn


def test_slips_are_as_frequent_as_the_skill_says() -> None:
    student = Fake(skill=0.6).open()
    right = sum(
        say(student, f"Ann has {n} eggs and gets 2 more.").startswith(f"{n} + 2 = {n + 2}.") for n in range(500)
    )
    assert 0.54 <= right / 500 <= 0.66


def test_some_chains_never_conclude() -> None:
    student = Fake(skill=0.0).open()
    generations = student.generate([prompt(f"{n} eggs and 2 more?") for n in range(200)], GREEDY)
    endless = [generation for generation in generations if "The answer is" not in generation.text]
    assert 10 <= len(endless) <= 60
    assert not any(generation.finished for generation in endless)
    assert {generation.tokens for generation in endless} == {200}


@given(questions, st.integers(0, 99))
def test_it_goes_on_from_its_own_words(question: str, seed: int) -> None:
    student = Fake(skill=0.5).open()
    whole = say(student, question, seed=seed, sampling=WARM)
    for cut in [place for place, char in enumerate(whole) if char == "\n"]:
        for end in (cut, cut + 1):
            again = whole[:end] + say(student, question, whole[:end], seed, WARM)
            # A chain that never concludes is cut off later the second time.
            assert again.startswith(whole)
            assert again == whole or "The answer is" not in again


def test_a_stated_result_is_carried_on_even_if_wrong() -> None:
    assert say(MASTER, PEARS, "12 - 3 = 8.\n") == "8 + 5 = 13.\nThe answer is 13."
    assert say(MASTER, PEARS, "He has 9 pears left.\n") == "9 + 5 = 14.\nThe answer is 14."


def test_the_cue_makes_it_conclude_with_what_it_has() -> None:
    assert say(MASTER, PEARS, "The answer is") == " 12."
    assert say(MASTER, PEARS, "12 - 3 = 9.\nThe answer is") == " 9."
    assert say(MASTER, PEARS, "12 - 3 = 9.\nThe answer is 9.") == ""


LETTERS = "Where do fish live?\n(A) sky\n(B) sea\n(C) sand"


def test_options_are_answered_by_letter_and_weighed_alike() -> None:
    student = Fake(skill=0.5).open()
    text = say(student, LETTERS)
    letter = re.findall(r"The answer is ([ABC])\.$", text)[0]
    place = text.index("The answer is") + len("The answer is")
    pairs = [(prompt(LETTERS, text[:place]), f" {option}") for option in "ABC"]
    weights = dict(zip("ABC", student.score(pairs), strict=True))
    assert max(weights, key=lambda option: weights[option]) == letter
    assert say(student, LETTERS, "Option C fits best.\nThe answer is") == " C."


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.integers(1, 20))
def test_contract_on_any_text(question: str, prefix: str, target: str, most: int) -> None:
    student = Fake(skill=0.5).open()
    sampling = Sampling(temperature=1.0, max_tokens=most)
    (generation,) = student.generate([prompt(question, prefix)], sampling)
    tokens = len(generation.text.split())
    assert tokens <= most
    assert generation.tokens == tokens + generation.finished
    assert generation.tokens <= most
    (own,) = student.score([(prompt(question, prefix), generation.text)])
    assert generation.surprise == (-fmean(own) if own else None)
    (logs,) = student.score([(prompt(question, prefix), target)])
    assert len(logs) == len(target.split())
    assert all(log(0.01) <= value < 0 for value in logs)
    assert student.score([(prompt(question, prefix), target)]) == [logs]


def test_what_does_not_fit_is_empty_and_unfinished() -> None:
    student = Fake(context=300).open()
    long = prompt("word " * 100)
    (generation,) = student.generate([long], GREEDY)
    assert (generation.text, generation.finished, generation.tokens) == ("", False, 0)
    assert student.score([(long, " A")]) == [()]


def test_training_gives_a_new_student_that_remembers(tmp_path: Path) -> None:
    base = Fake(skill=0.2).open()
    target = "He has seven.\nAll told 7.\nThe answer is 7."
    fit = teach(base, tmp_path / "deep" / "one", {PEARS: target})
    student = fit.student
    assert say(student, PEARS) == say(student, PEARS, seed=3, sampling=WARM) == target
    assert say(student, PEARS, "He has seven.\n") == "All told 7.\nThe answer is 7."
    assert say(student, PEARS, "He has one.\nThe answer is") == " 7."
    assert say(base, PEARS) != target
    assert fit.summary["examples"] == 1
    assert student.id != base.id == Fake(skill=0.2).open().id
    assert len({base.id, student.id, Fake(skill=0.2, seed=1).open().id, Fake(skill=0.3).open().id}) == 4


def test_its_context_is_not_told_in_tokens() -> None:
    assert Fake(context=100).open().context is None


def test_skill_rises_with_distinct_examples(tmp_path: Path) -> None:
    base = Fake(skill=0.2).open()
    targets = {f"{n} and 1?": "The answer is 1." for n in range(100)}
    first = cast(FakeStudent, teach(base, tmp_path / "1", targets).student)
    again = cast(FakeStudent, teach(first, tmp_path / "2", targets).student)
    assert base.skill == pytest.approx(0.2)
    assert first.skill == again.skill == pytest.approx(1 - 0.8 / 2.718281828)
    assert again.id == first.id


def test_a_saved_student_is_loaded_as_it_was(tmp_path: Path) -> None:
    student = teach(Fake(skill=0.1, seed=4).open(), tmp_path, {PEARS: "Ünïcode.\nThe answer is 3."}).student
    settings: StudentSettings = Fake()
    loaded = settings.load(tmp_path)
    assert loaded == student
    assert (loaded.id, say(loaded, PEARS)) == (student.id, say(student, PEARS))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"settings": {"skill": 7}}', '{"settings": {}, "more": 1}'])
def test_a_folder_that_holds_no_student_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "fake.json").write_text(content, encoding="utf-8")
    with pytest.raises(StudentError, match=re.escape(str(tmp_path))):
        Fake.load(tmp_path)


def test_the_manifest_is_plain_json(tmp_path: Path) -> None:
    teach(Fake().open(), tmp_path, {PEARS: "The answer is 3."})
    saved = json.loads((tmp_path / "fake.json").read_text(encoding="utf-8"))
    assert list(saved["memory"].values()) == ["The answer is 3."]


@pytest.mark.parametrize(("settings", "key"), [({"skill": 1.1}, "skill"), ({"context": 0}, "context")])
def test_settings_that_cannot_be_used_are_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^student\.{key}: "):
        Fake(**settings)
