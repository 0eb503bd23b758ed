"""Held-out questions that the trained student gets wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elad.errors import InputError
from elad.experiment import Data
from elad.ledger.course import Graded, graded
from elad.ledger.events import MAIN, Kind, Ledger
from elad.questions import read_heldout
from elad.records import Problem, digest_list, to_json
from elad.report.page.document import Example, Part, Passage, Prose, Section
from elad.report.page.wording import brief, cut
from elad.report.parts.examples import asked
from elad.report.parts.material import Material, payload

EACH = 3
"""Examples of a rule."""
_TEXT_CHARS = 3000

LOST = "right before and wrong now"
STILL = "wrong before and now"


def wrong(material: Material, identity: Mapping[str, Any]) -> dict[str, Any]:
    """The first ones by id that the last round answers wrong, those first that round 0 answered right.

    The ledger keeps what the student said and not what it was asked, so the questions are read from their file; where
    that is gone, is another by now, or is a data set by name, `unread` says so, and they are told without.
    """
    ledger = material.ledger.of(MAIN)
    rounds = {turn.round: grades for turn, grades in graded(ledger)}
    if not rounds:
        return {"n": 0, "examples": [], "unread": None}
    before, after = rounds[min(rounds)], rounds[max(rounds)]
    failed = sorted(key for key, one in after.items() if not one.grade.strict)
    lost = [key for key in failed if before[key].grade.strict]
    still = [key for key in failed if not before[key].grade.strict]
    questions, unread = _questions(material, identity) if failed else ({}, None)
    return {
        "n": len(after),
        "lost": len(lost),
        "still": len(still),
        "trained": max(rounds) > 0,
        "unread": unread,
        "examples": [
            {"rule": rule, **_told(ledger, key, before, after, questions.get(key))}
            for rule, keys in ((LOST, lost), (STILL, still))
            for key in keys[:EACH]
        ],
    }


def _told(
    ledger: Ledger, key: str, before: Mapping[str, Graded], after: Mapping[str, Graded], problem: Problem | None
) -> dict[str, Any]:
    return {
        "problem_id": cut(key, _TEXT_CHARS),
        "question": asked(problem) if problem else None,
        "gold": cut(problem.answer, _TEXT_CHARS) if problem and problem.answer is not None else None,
        "before": _said(ledger, before[key]),
        "after": _said(ledger, after[key]),
    }


def _said(ledger: Ledger, one: Graded) -> dict[str, Any]:
    grade, text = one.grade, payload(ledger, Kind.GRADE, one.key)["chain"]["text"]
    answer = None if grade.answer is None else cut(grade.answer, _TEXT_CHARS)
    return {"text": cut(text, _TEXT_CHARS), "answer": answer, "outcome": grade.outcome.value, "right": grade.strict}


def _questions(material: Material, identity: Mapping[str, Any]) -> tuple[dict[str, Problem], str | None]:
    """The held-out questions by id, or why they cannot be shown."""
    data = Data.model_validate(material.settings["data"])
    if any(isinstance(source, str) and source.startswith("datasets:") for source in data.heldout):
        return {}, "they are of a data set by name, which is not fetched for a report"
    try:
        problems = list(read_heldout(data, Path(material.sessions[-1].payload.get("base", "."))))
    except InputError as error:
        return {}, f"they cannot be read: {error}"
    if digest_list(map(to_json, problems)) != identity["data.heldout"]:
        return {}, "their file has changed since"
    return {problem.id: problem for problem in problems}, None


def section(told: dict[str, Any]) -> Section:
    """Both groups, with what the student said before and says now."""
    found = told["wrong"]
    title = "Wrong after training"
    if not found["n"]:
        return Section(name="wrong", title=title, parts=[Prose(text="Nothing has been measured yet.")])
    counts = f"{found['lost']} of {found['n']} held-out questions were {LOST}, {found['still']} {STILL}"
    since = "" if found["trained"] else "; no round after round 0 has come to its end"
    parts: list[Part] = [Prose(text=f"{counts}{since}. Rule: the first {EACH} of each by id.")]
    if found["unread"]:
        parts.append(Prose(text=f"The questions are not in the ledger, and are not shown: {found['unread']}."))
    parts += [_example(one, trained=found["trained"]) for one in found["examples"]]
    return Section(name="wrong", title=title, parts=parts)


def _example(one: dict[str, Any], *, trained: bool) -> Example:
    facts = [("gold answer", brief(one["gold"]))] if one["gold"] is not None else []
    passages = [Passage(label="Question", text=one["question"])] if one["question"] is not None else []
    for name, label in (("before", "Round 0"), ("after", "Last round")) if trained else (("before", "Round 0"),):
        said = one[name]
        answer = f"answer {brief(said['answer'])}" if said["answer"] is not None else said["outcome"]
        facts.append((label.lower(), f"{answer}: {'right' if said['right'] else 'wrong'}"))
        passages.append(Passage(label=label, text=said["text"]))
    return Example(title=f"{brief(one['problem_id'])}: {one['rule']}", facts=facts, passages=passages)
