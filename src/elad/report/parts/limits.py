"""What the evidence does not show."""

from collections.abc import Iterator
from typing import Any

from elad.ledger.events import MAIN, Kind, Ledger
from elad.report.page.document import Points, Section
from elad.report.page.wording import count
from elad.report.parts.spending import had_cost

_NO_MODEL = frozenset({"reference", "recorded", "fake"})
"""Teachers that are no language model."""
_MOST_PROBLEMS = 5


def happened(ledger: Ledger) -> dict[str, Any]:
    """Events that limit what a run shows: rounds that began cold, by round as how many drafts could not be read."""
    return {
        "cold": [{"round": event.round, "arm": event.arm, **event.payload} for event in ledger.events(Kind.COLD)],
    }


def limits(told: dict[str, Any]) -> list[str]:
    """Sentences, each true of this run."""
    return [
        *_of_state(told),
        *_of_measurement(told),
        *_of_comparison(told),
        *_of_teacher(told),
        *_of_verdicts(told),
        *_of_books(told),
    ]


def section(told: dict[str, Any]) -> Section:
    """The list."""
    return Section(name="limits", title="Limits of the evidence", parts=[Points(entries=told["limits"])])


def _of_state(told: dict[str, Any]) -> Iterator[str]:
    state, reason = told["status"]["state"], told["status"]["reason"]
    if state == "running":
        yield f"The run is under way: this is what had happened by {told['as_of']}, and all of it may change."
    elif state != "finished":
        yield f"The run {state} before its end ({reason}): a round that was begun may be missing from every figure."


def _of_measurement(told: dict[str, Any]) -> Iterator[str]:
    found = told["curve"]
    if not found["arms"]:
        yield "No round has come to its end: there is no accuracy yet."
        return
    last = found["arms"][MAIN]["rounds"][-1]
    low, high = last["interval"]
    yield (
        f"{found['heldout']} held-out questions: the last accuracy may be off by {50 * (high - low):.0f} points "
        "either way (95 %), for the choice of questions alone."
    )
    yield (
        f"One run with one seed ({told['asked']['seed']}): no band or interval here knows of the luck of a seed, "
        "which moves all answers of a run alike. elad sweep runs several."
    )
    if told["asked"]["settings"].get("stopping.kind") == "value":
        yield (
            "The run stopped by what it measured on the held-out questions, so its last accuracy is no fresh "
            "measurement."
        )
    if last["too_long"]:
        yield f"{last['too_long']} rows are over training.max_length, and were not learnt from."
    unread = told["status"]["outcomes"].get("draft", {}).get("too long", 0)
    if unread:
        yield f"{count(unread, 'question')} did not fit the student's context and could never be picked."
    for cold in told["happened"]["cold"]:
        yield (
            f"Round {cold['round']} ({cold['arm']}) was cold: {cold['unread']} of {cold['drafts']} drafts had no "
            "answer that could be read, and were picked last, by lot."
        )
    yield "Whether student or teacher had seen the held-out questions before the run cannot be told from it."


def _of_comparison(told: dict[str, Any]) -> Iterator[str]:
    control = told["status"]["control"]
    if control is None:
        yield (
            "No arm picked at random beside this one, so what selecting has saved, if anything, cannot be said. "
            "control.share or elad sweep would tell."
        )
    else:
        yield (
            "The control is one run of unequal spending: a check, and no proof. A verdict takes several seeds of "
            "each arm."
        )
    if not told["picking"]["histogram"] and told["picking"]["rounds"]:
        yield "No question was scored: nothing here says whether a score would have found better ones."


def _of_teacher(told: dict[str, Any]) -> Iterator[str]:
    kind, spent = told["asked"]["settings"]["teacher.kind"], told["status"]["spent"]
    if kind in _NO_MODEL:
        yield (
            f"The teacher ({kind}) is no language model: what it found, repaired and cost says little of what one "
            "would."
        )
    elif not spent["currency"]:
        yield "The teacher has no price, so there is no money to hold accuracy against."
    if spent["estimated"]:
        yield (
            "Some tokens were estimated: where the endpoint reported none, by other means; where a reply was lost, "
            "at their worst case."
        )
    cached = told["spending"]["cached"]
    if cached["replies"]:
        yield (
            f"{count(cached['replies'], 'reply', 'replies')} came from the cache at no charge (they had cost "
            f"{had_cost(cached)}): a run without it would have spent more."
        )


def _of_verdicts(told: dict[str, Any]) -> Iterator[str]:
    judged = sum(row["judged"] for row in told["status"]["calibration"])
    if judged:
        yield (
            f"Calibration and first wrong steps rest on {count(judged, 'question')} that were bought and judged: not "
            "on the pool, and on the teacher's word."
        )
    without = sum(not one["gold"] for one in told["bought"])
    if without:
        yield (
            f"{without} of {count(len(told['bought']), 'picked question')} had no gold answer: that a chain was "
            "repaired into a wrong end cannot be noticed there."
        )


def _of_books(told: dict[str, Any]) -> Iterator[str]:
    problems = told["books"]["problems"]
    if problems:
        shown = "; ".join(problems[:_MOST_PROBLEMS])
        yield f"The books do not add up in {count(len(problems), 'place')} (elad ledger DIR --check): {shown}."
    if told["books"]["open"]:
        yield f"{count(told['books']['open'], 'request')} got no word yet: what they cost is not counted."
    changed = [one["what"] for one in told["asked"]["changes"] if one["what"].startswith("version of")]
    if changed:
        yield f"The run went over several versions: {', '.join(dict.fromkeys(changed))} changed between sessions."
