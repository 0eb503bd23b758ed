"""People as the teacher: what waits, what comes back, and what is left for the next session."""

from collections.abc import Callable
from typing import Any

import pytest

from elad.abilities import Attending
from elad.interrupt import impatient
from elad.outcomes import Purpose
from elad.protocols import Teacher
from elad.records import Message, Problem, Request
from elad.teachers.human import Asked, Human


def request(name: str) -> Request:
    problem = Problem(id=name, question=f"{name}?")
    return Request(problem=problem, purpose=Purpose.SOLVE, messages=(Message(role="user", content=f"{name}?"),))


def attended(answers: dict[str, Any], sleep: Callable[[float], None], notes: list[str] | None = None) -> Asked:
    teacher = Asked(sleep)
    teacher.attend(answers.get, (notes if notes is not None else []).append)
    return teacher


def test_it_fills_the_port_and_serves_all_but_rollouts() -> None:
    opened: Teacher = Human().open()
    assert isinstance(opened, Attending)
    assert opened.serves == frozenset(Purpose) - {Purpose.ROLLOUT}
    assert opened.priced
    assert opened.repeatable


def test_all_is_asked_at_once_and_told_as_it_is_answered() -> None:
    one, two = request("one"), request("two")
    answers = dict[str, Any]()
    drawn, notes = list[str](), list[str]()

    def source() -> Any:
        for each in (one, two):
            drawn.append(each.problem.id)
            yield each

    def sleep(seconds: float) -> None:
        assert drawn == ["one", "two"]
        key = two.key if not answers else one.key
        answers[key] = {"text": f"to {key}", "seconds": 3.0, "reviewer": "ana"}

    replies = list(attended(answers, sleep, notes).ask(source()))
    assert [(reply.request, reply.text) for reply in replies] == [(r.key, f"to {r.key}") for r in (two, one)]
    assert {(reply.charge.calls, reply.charge.seconds) for reply in replies} == {(1, 3.0)}
    assert notes == ["2 questions wait for people: answer them in the page of `elad review`"]


def test_what_an_answer_brings_is_asked_before_it_waits_on() -> None:
    one, more = request("one"), request("more")
    answers = {each.key: {"text": "x", "seconds": 0.0, "reviewer": "ana"} for each in (one, more)}
    waiting = [one]

    def source() -> Any:
        while waiting:
            yield waiting.pop()
            yield None

    told = list[str]()
    for reply in attended(answers, lambda seconds: pytest.fail("it need not wait")).ask(source()):
        told.append(reply.request)
        if len(told) == 1:
            waiting.append(more)
    assert told == [one.key, more.key]


def test_it_leaves_what_is_open_when_it_is_to_stop() -> None:
    over = list[bool]()
    with impatient(lambda: bool(over)):
        teacher = attended({}, lambda seconds: over.append(True))
        assert list(teacher.ask(iter([request("one")]))) == []
    assert over == [True]
