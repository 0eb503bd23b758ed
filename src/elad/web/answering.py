"""A person's answer to a request, put into the form that the reviser reads from any teacher."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from elad.errors import EladError
from elad.ledger.events import Event
from elad.ledger.people import Answer, write_answer
from elad.outcomes import ParseOutcome, Purpose
from elad.protocols import Task
from elad.records import Request, from_json
from elad.web.desk import Desk
from elad.web.reviewing import MOST_CHARACTERS, UNWRITABLE, Said

JUDGES = frozenset({Purpose.JUDGE, Purpose.COMPARE})
_CONCLUDES = frozenset({Purpose.SOLVE, Purpose.ANSWER, Purpose.CONTINUE})
_MOST_WORDS = 1_000
"""Characters of a corrected step and of a reason; what a reviser keeps of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A request that waits for a person."""

    key: str
    question: str
    """What its question is called in an address."""
    request: Request
    event: Event


def waiting(desk: Desk) -> list[Open]:
    """All of them, the oldest first."""
    return [_open(desk, key, seq, question) for key, seq, question in desk.index.waiting()]


def _open(desk: Desk, key: str, seq: int, question: str) -> Open:
    event = desk.ledger.event(seq)
    return Open(key=key, question=question, request=from_json(Request, event.payload["request"]), event=event)


def respond(desk: Desk, asked: Open, fields: Mapping[str, str], reviewer: str, now: float) -> Said:
    """Appends the answer of a form, unless it cannot be one or somebody has answered; `now` is Unix time."""
    text = _text(asked.request, desk.task, fields)
    if isinstance(text, Said):
        return text
    answer = Answer(text=text, reviewer=reviewer, seconds=max(0.0, round(now - asked.event.at, 1)))
    try:
        first = write_answer(desk.folder, asked.key, answer, number=asked.event.round)
    except EladError:
        return Said(good=False, message=UNWRITABLE)
    if not first:
        return Said(good=False, message="Nothing was saved: somebody else has answered this.")
    return Said(good=True, message="Saved: the run goes on with it.")


def _text(request: Request, task: Task, fields: Mapping[str, str]) -> str | Said:
    """The answer as a model would have written it, or why it is none."""
    if request.purpose not in JUDGES | {Purpose.JUDGE_STEP}:
        return _words(request, task, fields.get("text", "").replace("\r\n", "\n").strip())
    corrected, reason = (fields.get(name, "").strip() for name in ("corrected_step", "reason"))
    if max(len(corrected), len(reason)) > _MOST_WORDS:
        return _refusal(f"the corrected step and the reason have {_MOST_WORDS:,} characters at most.")
    said = fields.get("verdict", "")
    known = ["right", *map(str, range(len(request.steps)))] if request.purpose in JUDGES else ["right", "wrong"]
    if said not in known:
        return _refusal("say which step is the first wrong one, or that none is.")
    found: dict[str, object] = {"correct": said == "right"}
    if request.purpose in JUDGES:
        found = {"first_error": None if said == "right" else int(said)}
    return json.dumps({"reason": reason, **found, "corrected_step": corrected}, ensure_ascii=False)


def _words(request: Request, task: Task, text: str) -> str | Said:
    if not text:
        return _refusal("the answer is empty.")
    if len(text) > MOST_CHARACTERS:
        return _refusal(f"the answer has more than {MOST_CHARACTERS:,} characters.")
    if request.purpose in _CONCLUDES and task.parse(text, request.problem).outcome is not ParseOutcome.PARSED:
        return _refusal("it must end in a conclusion that can be read, as in “The answer is 7.”")
    return text


def _refusal(why: str) -> Said:
    return Said(good=False, message=f"Nothing was saved: {why}")
