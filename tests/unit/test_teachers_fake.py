import json
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elad.errors import ConfigError
from elad.ledger.prices import Price
from elad.outcomes import Purpose, ReplyOutcome
from elad.records import Message, Problem, Reply, Request
from elad.teachers.fake import Fake, Fault
from elad.teachers.reference import Reference

BAGS = Problem(
    id="q",
    question="Tom has 3 bags of 4 apples and eats 2. How many are left?",
    answer="10",
    rationale="He has 3 * 4 = 12 apples.\nThen 12 - 2 = 10 are left.",
)
WRONG = ("Tom has 3 * 4 = 12 apples.", "He eats 2, so 12 + 2 = 14 are left.", "The answer is 14.")


def request(purpose: Purpose = Purpose.JUDGE, seed: int = 0, steps: tuple[str, ...] = WRONG) -> Request:
    message = Message(role="user", content="Please judge.")
    return Request(problem=BAGS, purpose=purpose, messages=(message,), steps=steps, seed=seed)


def ask(fault: Fault, purpose: Purpose = Purpose.JUDGE, steps: tuple[str, ...] = WRONG) -> Reply:
    (reply,) = Fake(faults={fault: 1.0}).open().ask([request(purpose, steps=steps)])
    return reply


@given(purpose=st.sampled_from(Purpose), seed=st.integers(0, 99))
def test_without_faults_it_says_what_the_reference_says(purpose: Purpose, seed: int) -> None:
    one = request(purpose, seed)
    (fake,), (reference,) = Fake().open().ask([one]), Reference().open().ask([one])
    assert (fake.text, fake.outcome) == (reference.text, reference.outcome)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault.EMPTY, ReplyOutcome.EMPTY),
        (Fault.TRUNCATED, ReplyOutcome.TRUNCATED),
        (Fault.REFUSED, ReplyOutcome.REFUSED),
        (Fault.FAILED, ReplyOutcome.FAILED),
    ],
)
def test_some_faults_have_an_outcome(fault: Fault, outcome: ReplyOutcome) -> None:
    reply = ask(fault)
    assert reply.outcome is outcome
    assert reply.reason
    assert (reply.text == "") == (fault is not Fault.TRUNCATED)


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.OTHER_LANGUAGE, Fault.TRUNCATED])
def test_some_faults_are_not_json(fault: Fault) -> None:
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(ask(fault).text)


def test_a_wrong_index_is_out_of_the_chain() -> None:
    assert json.loads(ask(Fault.WRONG_INDEX).text)["first_error"] >= len(WRONG)
    assert ask(Fault.WRONG_INDEX, Purpose.SOLVE).text == Fake().open().answer(request(Purpose.SOLVE)).text


def test_a_copied_step_is_the_one_in_question() -> None:
    told = json.loads(ask(Fault.COPIED).text)
    assert told["corrected_step"] == WRONG[told["first_error"]]
    assert ask(Fault.COPIED, Purpose.REPAIR, WRONG[:2]).text == WRONG[1]
    assert json.loads(ask(Fault.COPIED, Purpose.JUDGE_STEP, WRONG[:1]).text)["corrected_step"] == WRONG[0]
    assert ask(Fault.COPIED, steps=()).outcome is ReplyOutcome.OK


@pytest.mark.parametrize("purpose", [Purpose.SOLVE, Purpose.CONTINUE, Purpose.ANSWER])
def test_a_wrong_end_is_another_answer(purpose: Purpose) -> None:
    text = ask(Fault.WRONG_END, purpose, WRONG[:1]).text
    assert text.endswith("The answer is 11.")


@settings(max_examples=20)
@given(order=st.permutations(range(12)), seed=st.integers(0, 9))
def test_neither_order_nor_number_matters(order: list[int], seed: int) -> None:
    fake = Fake(faults={Fault.EMPTY: 0.4, Fault.GARBAGE: 0.3}, seed=seed)
    requests = [request(seed=n) for n in range(12)]
    straight = {reply.request: reply for reply in fake.open().ask(requests)}
    shuffled = {reply.request: reply for reply in fake.open().ask(requests[n] for n in order[:7])}
    assert all(straight[key] == reply for key, reply in shuffled.items())


def test_shares_are_shares() -> None:
    fake = Fake(faults={Fault.EMPTY: 0.25, Fault.WRONG_END: 0.5})
    counts = Counter(fake.fault(request(seed=n)) for n in range(2000))
    assert 400 < counts[Fault.EMPTY] < 600
    assert 900 < counts[Fault.WRONG_END] < 1100


@pytest.mark.parametrize("shares", [{Fault.EMPTY: 1.2}, {Fault.EMPTY: -0.1}, {Fault.EMPTY: 0.6, Fault.FAILED: 0.6}])
def test_impossible_shares_are_refused(shares: dict[Fault, float]) -> None:
    with pytest.raises(ConfigError, match="faults"):
        Fake(faults=shares)


def test_it_remembers_what_it_was_asked_and_is_lazy() -> None:
    teacher = Fake().open()
    replies = teacher.ask(request(seed=n) for n in range(5))
    next(replies)
    assert [one.seed for one in teacher.asked] == [0]
    list(replies)
    assert [one.seed for one in teacher.asked] == [0, 1, 2, 3, 4]


@given(seed=st.integers(0, 50), purpose=st.sampled_from(Purpose))
def test_its_worst_case_bounds_its_charge(seed: int, purpose: Purpose) -> None:
    faults = {fault: 1 / len(Fault) for fault in Fault}
    teacher = Fake(faults=faults, price=Price(input=1.0, output=2.0), seed=Random(seed).randrange(99)).open()
    one = request(purpose, seed)
    (reply,) = teacher.ask([one])
    worst = teacher.worst_case(one)
    assert reply.charge.tokens_in <= worst.tokens_in
    assert reply.charge.tokens_out <= worst.tokens_out
    assert reply.charge.money <= worst.money
    assert reply.charge.calls == 1
