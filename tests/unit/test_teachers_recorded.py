import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from elad.outcomes import Purpose, ReplyOutcome
from elad.protocols import Task
from elad.records import Problem, Reply, Request
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.teachers.recorded import Recorded

KNOWN = [
    {"teacher": "palm", "text": "Water is wet. The answer is (B).", "answer": "no", "style": "few-shot"},
    {"teacher": "gpt", "text": "It floats.", "answer": "yes", "style": "terse"},
    {"teacher": "gpt", "text": "Ice is lighter.", "answer": "yes", "style": "long"},
    {"teacher": "mute", "text": "Hm.", "answer": None, "style": "terse"},
    {"teacher": "odd", "text": "Hm.", "answer": "maybe", "style": "terse"},
]


def problem(known: object = KNOWN) -> Problem:
    metadata = {"teacher_rationales": known}
    return Problem(id="q", question="Does ice float?", choices=("yes", "no"), answer="yes", metadata=metadata)


def ask(purpose: Purpose = Purpose.SOLVE, seed: int = 0, known: object = KNOWN, **settings: Any) -> Reply:
    request = Request(problem=problem(known), purpose=purpose, messages=(), seed=seed)
    teacher = Recorded(**settings).open()
    (reply,) = teacher.ask([request])
    worst = teacher.worst_case(request)
    assert (worst.tokens_in, worst.tokens_out, worst.money) == (0, reply.charge.tokens_out, 0.0)
    return reply


def test_a_rationale_ends_in_the_form_of_the_task() -> None:
    assert ask(name="palm").text == "Water is wet.\nThe answer is (B) no."
    assert ask(name="palm", purpose=Purpose.ANSWER).text == "The answer is (B) no."


def test_the_seed_chooses_among_several() -> None:
    texts = [ask(name="gpt", seed=seed).text.split("\n")[0] for seed in range(4)]
    assert texts == ["It floats.", "Ice is lighter.", "It floats.", "Ice is lighter."]
    assert ask(name="gpt", style="long").text.startswith("Ice is lighter.")


def test_tokens_are_estimated_and_marked_so() -> None:
    reply = ask(name="gpt")
    assert reply.charge.tokens_out == -(-len(reply.text.encode()) // 3)
    assert (reply.charge.calls, reply.charge.estimated, reply.charge.money) == (1, True, 0.0)


def test_an_unread_answer_leaves_the_solution_without_conclusion() -> None:
    assert ask(name="mute").text == "Hm."
    assert ask(name="mute", purpose=Purpose.ANSWER).outcome is ReplyOutcome.FAILED


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "nobody"}, "no such rationale"),
        ({"known": []}, "no such rationale"),
        ({"known": "text"}, "not a list"),
        ({"known": [{"text": 3}]}, "not a list"),
        ({"name": "odd"}, "none of the options"),
        ({"purpose": Purpose.JUDGE}, "cannot judge"),
    ],
)
def test_what_cannot_be_replayed_fails_with_its_reason(settings: dict[str, Any], reason: str) -> None:
    reply = ask(**settings)
    assert (reply.outcome, reply.text) == (ReplyOutcome.FAILED, "")
    assert reason in reply.reason


def test_it_says_what_it_serves() -> None:
    teacher = Recorded(name="palm", style="few-shot").open()
    assert teacher.serves == frozenset({Purpose.SOLVE, Purpose.ANSWER})
    assert teacher.id == "recorded:palm:few-shot"


@pytest.mark.parametrize(("name", "task"), [("svamp", Numeric()), ("aqua", Choice()), ("strategyqa", Choice())])
def test_real_rationales_conclude_what_was_recorded(shared: Path, name: str, task: Task) -> None:
    with gzip.open(shared / "data" / name / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:120]
    read = 0
    for row in rows:
        choices = tuple(row["choices"]) if row["choices"] else None
        known = [one for one in row["teacher_rationales"] if one["answer"] is not None]
        asked = Problem(id=row["id"], question=row["question"], choices=choices, metadata={"teacher_rationales": known})
        for seed, one in enumerate(known):
            request = Request(problem=asked, purpose=Purpose.SOLVE, messages=(), seed=seed)
            (reply,) = Recorded().open().ask([request])
            assert reply.outcome is ReplyOutcome.OK
            assert task.same(task.parse(reply.text, asked).answer, one["answer"], asked)
            read += 1
    assert read > 100
