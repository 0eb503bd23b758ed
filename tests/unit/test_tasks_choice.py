from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import DataError
from elad.outcomes import ParseOutcome
from elad.records import Problem, Sampling
from elad.tasks.chains import make_chain
from elad.tasks.choice import Choice

TASK = Choice()
POND = Problem(
    id="q", question="Where is the pebble?", choices=("park", "water", "body of water"), answer="water", context="Rain."
)


def _grade(text: str, problem: Problem = POND, *, finished: bool = True):
    chain = make_chain(
        text, problem, TASK, finished=finished, sampling=Sampling(), seed=0, tokens=1, most_steps=12
    )  # fmt: skip
    return TASK.grade(problem, chain)


def test_the_prompt_offers_every_option_with_its_letter() -> None:
    assert TASK.question(POND) == "Rain.\n\nWhere is the pebble?\n(A) park\n(B) water\n(C) body of water"
    system, user = TASK.messages(POND)
    assert TASK.cue in system.content
    assert user.content == TASK.question(POND)


@pytest.mark.parametrize("answer", POND.choices or ())
def test_the_conclusion_goes_on_as_one_of_the_options(answer: str) -> None:
    text = TASK.conclusion(POND, answer)
    assert sum(text.startswith(TASK.cue + option) for option in TASK.options(POND) or ()) == 1
    assert TASK.parse(text, POND).answer == answer


def test_options_weighed_by_their_texts_are_each_read_as_themselves() -> None:
    task = Choice(weigh="texts")
    assert task.options(replace(POND, choices=("6 p.m.", "by  noon"))) == (" 6 p.m.", " by noon.")
    told = [task.parse(task.cue + option, POND).answer for option in task.options(POND) or ()]
    assert tuple(told) == POND.choices


def test_a_full_stop_is_not_doubled() -> None:
    problem = replace(POND, choices=("6 p.m.", "7 p.m."), answer="6 p.m.")
    assert TASK.conclusion(problem, "6 p.m.") == "The answer is (A) 6 p.m."
    assert _grade("The answer is (A) 6 p.m.", problem).strict


@pytest.mark.parametrize(
    ("text", "finished", "outcome", "strict", "lenient"),
    [
        ("Pebbles sink.\nThe answer is (B) water.", True, ParseOutcome.PARSED, True, True),
        ("The answer is B.", True, ParseOutcome.PARSED, True, True),
        ("Answer: (B)", True, ParseOutcome.PARSED, False, True),
        ("So it lies in water.", True, ParseOutcome.NO_CONCLUSION, False, True),
        ("So it lies in wat", False, ParseOutcome.TRUNCATED, False, False),
        ("The answer is (C) water.", True, ParseOutcome.AMBIGUOUS, False, False),
        ("The answer is (C).", True, ParseOutcome.PARSED, False, False),
        ("I'm sorry, water it is.", True, ParseOutcome.REFUSED, False, False),
    ],
)
def test_grades(text: str, finished: bool, outcome: ParseOutcome, strict: bool, lenient: bool) -> None:
    grade = _grade(text, finished=finished)
    assert (grade.outcome, grade.strict, grade.lenient) == (outcome, strict, lenient)


def test_gold_may_be_either_of_two_like_options() -> None:
    twins = replace(POND, choices=("8.75", "8.79", "8.75"), answer="8.75", metadata={"repeated_choices": True})
    assert _grade("The answer is (A) 8.75.", twins).strict
    assert _grade("The answer is (C) 8.75.", twins).strict
    assert not _grade("The answer is (B) 8.79.", twins).lenient
    assert TASK.wrong_answer(twins) == "8.79"


@given(st.text(alphabet="The answr is(ABC)parkwte.\n", max_size=80), st.booleans())
def test_strict_implies_lenient(text: str, finished: bool) -> None:
    grade = _grade(text, finished=finished)
    assert grade.lenient or not grade.strict


def test_what_is_no_option_is_told() -> None:
    with pytest.raises(ValueError, match="'lake' is not one of its options"):
        TASK.conclusion(POND, "lake")
    with pytest.raises(ValueError, match="no option but the gold one"):
        TASK.wrong_answer(replace(POND, choices=("water", "Water")))
    with pytest.raises(DataError, match="needs 2 to 26 choices"):
        TASK.messages(replace(POND, choices=None))
    with pytest.raises(DataError, match="2 to 26"):
        TASK.messages(replace(POND, choices=("water",)))
    assert not TASK.same("lake", "lake", POND)
    assert not TASK.same(None, None, POND)
    assert TASK.same("Water", "water", POND)


@pytest.mark.model
def test_options_part_at_their_last_token_in_the_default_student(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from elad.students.models import model_folder

    tokenizer = AutoTokenizer.from_pretrained(model_folder("smollm2-135m"))
    cue = tokenizer.encode(TASK.cue, add_special_tokens=False)
    tails = [tokenizer.encode(option, add_special_tokens=False) for option in TASK.options(POND) or ()]
    assert len({tuple(tail) for tail in tails}) == len(tails)
    assert len({tuple(tail[:-1]) for tail in tails}) == 1
    for answer, tail in zip(POND.choices or (), tails, strict=True):
        whole = tokenizer.encode(TASK.conclusion(POND, answer), add_special_tokens=False)
        assert whole[: len(cue) + len(tail)] == cue + tail
