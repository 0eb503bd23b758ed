from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.outcomes import ParseOutcome
from elad.protocols import Task
from elad.records import Chain, Problem, Sampling
from elad.tasks import make_chain
from elad.tasks.chains import body, concluded
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.tasks.text import Text

PROBLEM = Problem(id="q", question="How many?", answer="7")
PLACES = replace(PROBLEM, choices=("He went home. Then he slept.", "He stayed. Then he ate."))
SAID = [
    *("3 + 4 = 7.", "The answer is 7.", "So the answer is 5.", "#### 7", "The answer is what we get.", "\n", " "),
    *("Bob has 2 cats.", "In all my answer is 5.", "The answer is 5 or 6.", "The answer is 5, ", "so the answer is 7."),
    *("The answer is", "\\boxed{5}", "Answer:", "Step 2: "),
]  # fmt: skip
texts = st.lists(st.sampled_from(SAID), max_size=12).map("".join) | st.text("The answer is 7.\n+=3", max_size=120)


def chain(text: str, task: Task | None = None, problem: Problem = PROBLEM, *, finished: bool = True) -> Chain:
    return make_chain(
        text, problem, task or Numeric(), finished=finished, sampling=Sampling(), seed=0, tokens=1, most_steps=12
    )  # fmt: skip


@given(texts, st.booleans(), st.integers(1, 5))
def test_a_chain_keeps_all_that_was_said_and_takes_the_tasks_reading(text: str, finished: bool, most: int) -> None:
    sampling = Sampling(temperature=0.7)
    made = make_chain(
        text, PROBLEM, Numeric(), finished=finished, sampling=sampling, seed=3, tokens=9, most_steps=most
    )  # fmt: skip
    parsed = Numeric().parse(made.text, PROBLEM, finished=finished or made.tail != "")
    assert made.text + made.tail == text
    assert "".join(step.text for step in made.steps) == made.text
    assert len(made.steps) <= most
    assert (made.answer, made.outcome) == (parsed.answer, parsed.outcome)
    assert (made.problem_id, made.sampling, made.seed, made.tokens) == ("q", sampling, 3, 9)


@given(texts)
def test_a_chain_is_its_own_chain(text: str) -> None:
    made = chain(text)
    assert chain(made.text) == replace(made, tail="")


@given(st.lists(st.sampled_from(["3 + 4 = 8.\n", "We add.\n"]), max_size=4), st.integers(0, 9), texts)
def test_what_is_said_after_the_conclusion_changes_nothing(before: list[str], answer: int, after: str) -> None:
    text = f"{''.join(before)}The answer is {answer}.\n"
    made = chain(text + "Bob has 2 cats.\n" + after)
    assert (made.text, made.answer, body(made)) == (text, str(answer), len(before))


@pytest.mark.parametrize(
    ("text", "own", "answer"),
    [
        ("3 + 4 = 7.\nThe answer is 7.\n\nBob gets 3.\nThe answer is 5.", "3 + 4 = 7.\nThe answer is 7.\n\n", "7"),
        ("The answer is 7. Bob gets 3. The answer is 5.", "The answer is 7. ", "7"),
        ("It is 7. So, the answer is 7. The answer is 5.", "It is 7. So, the answer is 7. ", "7"),
        ("#### 7\nThe answer is 7.\nBob gets 3.", "#### 7\nThe answer is 7.\n", "7"),
        ("The answer is\n\n7\nBob gets 3.", "The answer is\n\n7\n", "7"),
        # a correction in the sentence is no second chain, one in the next sentence comes too late
        ("The answer is 5, or rather the answer is 6.", "The answer is 5, or rather the answer is 6.", None),
        ("The answer is 5, so the answer is 6. Bye.", "The answer is 5, so the answer is 6. ", None),
        ("The answer is 5. Wait, the answer is 6.", "The answer is 5. ", "5"),
        # what names no answer yet is no conclusion
        (
            "The answer is what 3 and 4 give.\nThe answer is 7.",
            "The answer is what 3 and 4 give.\nThe answer is 7.",
            "7",
        ),
        ("So the answer so far is 3.\n3 + 4 = 7.\nThe answer is 7.\nBye.", None, "7"),
        ("I think the answer is 5.\nBut 3 + 4 = 7.\nThe answer is 7.\nBye.", None, "7"),
    ],
)
def test_a_chain_ends_with_its_first_conclusion(text: str, own: str | None, answer: str | None) -> None:
    made = chain(text)
    assert made.text == (text.removesuffix("Bye.") if own is None else own)
    assert made.answer == answer


def test_a_text_that_does_not_begin_a_conclusion_is_left_whole() -> None:
    text = "In all my answer is 5.\nThen for all I know my answer is 7.\nGood."
    assert (chain(text).text, chain(text).answer, body(chain(text))) == (text, "7", 3)


def test_an_answer_of_several_sentences_is_not_cut() -> None:
    quoted = 'Hm.\nThe answer is "Hello there. Goodbye now".\n'
    made = chain(f"{quoted}Bob said it.\nThe answer is no.", Text())
    assert (made.text, made.answer, body(made)) == (quoted, "hello there. goodbye now", 1)
    for end in ("He went home. Then he slept.", "(A) He went home. "):
        made = chain(f"Hm.\nThe answer is {end} Bob gets 3.\nThe answer is (B).", Choice(), PLACES)
        assert made.answer == PLACES.choices[0] if PLACES.choices else None
        assert "Bob" not in made.text


def test_a_conclusion_that_was_cut_off_is_none_yet() -> None:
    assert chain("3 + 4 = 7.\nThe answer is 7", finished=False).outcome is ParseOutcome.TRUNCATED
    made = chain("3 + 4 = 7.\nThe answer is 7.\nBob has 2 ca", finished=False)
    assert (made.answer, made.tail) == ("7", "Bob has 2 ca")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("3 + 4 = 7.", 1),
        ("3 + 4 = 7.\nThe answer is 7.", 1),
        ("3 + 4 = 7.\n#### 7\nThe answer is 7.", 1),
        ("3 + 4 = 7.\nThe answer is 5 or 6.", 1),
        ("The answer is less than 9.\n3 + 4 = 7.", 2),
    ],
)
def test_the_body_is_what_comes_before_the_conclusion(text: str, count: int) -> None:
    assert body(chain(text)) == count


def test_a_chain_of_steps() -> None:
    made = chain("3 + 4 = 7.\nThe answer is 7.")
    assert [step.text for step in made.steps] == ["3 + 4 = 7.\n", "The answer is 7."]
    assert (made.answer, made.outcome) == ("7", ParseOutcome.PARSED)


def test_an_answer_that_cannot_be_compared_is_still_its_own() -> None:
    class Unsure(Numeric):
        def same(self, first: str | None, second: str | None, problem: Problem) -> bool:
            return False

    problem = Problem(id="a", question="?", answer="4")
    text, parsed = concluded("3 + 1 = 4.\nThe answer is 4.\nSo it is.", problem, Unsure(), finished=False)
    assert (text, parsed.answer) == ("3 + 1 = 4.\nThe answer is 4.\n", "4")
