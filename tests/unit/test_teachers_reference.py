import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.outcomes import Purpose, ReplyOutcome
from elad.records import Charge, Message, Problem, Reply, Request
from elad.teachers.reference import Reference

BAGS = Problem(
    id="q",
    question="Tom has 3 bags of 4 apples and eats 2. How many are left?",
    answer="10",
    rationale="He has 3 * 4 = 12 apples. Then he eats 2, which leaves 12 - 2 = 10. The answer is 10.",
)
WRONG = ("Tom has 3 * 4 = 12 apples.", "He eats 2, so 12 + 2 = 14 are left.", "The answer is 14.")


def ask(purpose: Purpose, steps: tuple[str, ...] = (), problem: Problem = BAGS) -> Reply:
    message = Message(role="user", content="never read")
    request = Request(problem=problem, purpose=purpose, messages=(message,), steps=steps)
    (reply,) = Reference().open().ask([request])
    assert reply.request == request.key
    assert reply.charge == Charge(calls=int(reply.outcome is ReplyOutcome.OK))
    return reply


def said(reply: Reply) -> Any:
    assert reply.outcome is ReplyOutcome.OK
    return json.loads(reply.text)


@pytest.mark.parametrize("purpose", [Purpose.JUDGE, Purpose.COMPARE])
def test_it_names_the_wrong_step_and_corrects_it(purpose: Purpose) -> None:
    told = said(ask(purpose, WRONG))
    assert told["first_error"] == 1
    assert told["corrected_step"] == "Then he eats 2, which leaves 12 - 2 = 10."
    assert told["reason"]


def test_it_accepts_a_right_chain() -> None:
    told = said(ask(Purpose.JUDGE, (WRONG[0], "12 - 2 = 10.", "The answer is 10.")))
    assert (told["first_error"], told["corrected_step"]) == (None, "")


def test_it_judges_step_by_step() -> None:
    assert said(ask(Purpose.JUDGE_STEP, WRONG[:1])) == {"correct": True, "corrected_step": "", "reason": ""}
    told = said(ask(Purpose.JUDGE_STEP, WRONG[:2]))
    assert (told["correct"], told["corrected_step"]) == (False, "Then he eats 2, which leaves 12 - 2 = 10.")


def test_it_goes_on_with_what_is_not_yet_reached() -> None:
    reply = ask(Purpose.CONTINUE, WRONG[:1])
    assert reply.text == "Then he eats 2, which leaves 12 - 2 = 10.\nThe answer is 10."
    assert ask(Purpose.CONTINUE, (WRONG[0], "12 - 2 = 10.")).text == "The answer is 10."


def test_it_repairs_solves_and_answers() -> None:
    assert ask(Purpose.REPAIR, WRONG[:2]).text == "Then he eats 2, which leaves 12 - 2 = 10."
    assert ask(Purpose.SOLVE).text.split("\n")[0] == "He has 3 * 4 = 12 apples."
    assert ask(Purpose.SOLVE).text.count("The answer is") == 1
    assert ask(Purpose.ANSWER).text == "The answer is 10."


@pytest.mark.parametrize(
    ("problem", "conclusion"),
    [
        (Problem(id="q", question="?", choices=("yes", "no"), answer="no"), "The answer is (B) no."),
        (Problem(id="q", question="?", answer="1,250"), "The answer is 1250."),
        (Problem(id="q", question="?", answer="yajc"), "The answer is yajc."),
    ],
)
def test_without_a_solution_it_concludes_as_the_task_does(problem: Problem, conclusion: str) -> None:
    for purpose in (Purpose.SOLVE, Purpose.CONTINUE, Purpose.ANSWER):
        assert ask(purpose, ("It is so.",), problem).text == conclusion
    told = said(ask(Purpose.JUDGE, ("It is so.",), problem))
    assert (told["first_error"], told["corrected_step"]) == (0, conclusion)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_without_a_gold_answer_it_fails_and_says_so(purpose: Purpose) -> None:
    reply = ask(purpose, ("It is so.",), Problem(id="q", question="?"))
    assert (reply.outcome, reply.text) == (ReplyOutcome.FAILED, "")
    assert "gold" in reply.reason


@given(purpose=st.sampled_from(Purpose), steps=st.lists(st.text(max_size=30), max_size=5))
def test_it_has_an_answer_to_anything(purpose: Purpose, steps: list[str]) -> None:
    reply = ask(purpose, tuple(steps))
    assert (reply.outcome, bool(reply.text)) == (ReplyOutcome.OK, True)


def test_it_is_free() -> None:
    teacher = Reference().open()
    request = Request(problem=BAGS, purpose=Purpose.SOLVE, messages=())
    assert teacher.worst_case(request) == Charge(calls=1)
    assert (teacher.serves, teacher.id) == (frozenset(Purpose) - {Purpose.ROLLOUT}, "reference")
    teacher.close()
