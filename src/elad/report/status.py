"""The state of a run, from its ledger alone."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from elad.errors import InputError, RunFolderError
from elad.evaluation.intervals import wilson
from elad.ledger.events import CONTROL, MAIN, PLAN_FILE, Event, Kind, Ledger, is_held
from elad.ledger.reconcile import price_tables
from elad.records import Round, from_json
from elad.report.compare import compare
from elad.report.runs import state_of
from elad.report.verdict import along_line, remarks, sentence


def status(folder: Path) -> dict[str, Any]:
    """State, rounds, what was spent, the caps, and how requests and revisions ended.

    `tokens_in`, `tokens_out` and `money` of a round are what its arm spent in it. Of a control there are the rounds,
    and once the run has ended, what both arms say against each other. `revising` are the seconds of the stages that ask
    the teacher, of those that came to their end; the student goes on with chains in them, too.
    Raises: RunFolderError when there is no ledger in the folder.
    """
    with Ledger(folder, write=False) as ledger:
        return status_of(ledger)


def status_of(ledger: Ledger) -> dict[str, Any]:
    """The status of an opened run."""
    sessions = list(ledger.events(Kind.SESSION))
    spent = ledger.spent()
    held = ("running", "a process holds the folder")
    state, reason = held if is_held(ledger.folder) else state_of(ledger)
    return {
        "name": ledger.meta("name"),
        "state": state,
        "reason": reason,
        **_arm(ledger.of(MAIN)),
        "control": _arm(ledger.of(CONTROL)) | _against(ledger) if _has_control(sessions) else None,
        "spent": {
            "money": spent.money,
            "currency": spent.currency or _currency(ledger),
            "calls": spent.calls,
            "tokens_in": spent.tokens_in,
            "tokens_out": spent.tokens_out,
            "seconds": ledger.elapsed_seconds(),
            "revising": _revising(ledger),
            "estimated": spent.estimated,
        },
        "budget": sessions[-1].payload["experiment"]["budget"] if sessions else {},
        "forecast": _forecast(ledger.folder),
        "outcomes": _outcomes(ledger),
        "sessions": len(sessions),
    }


def round_table(told: dict[str, Any]) -> Table:
    """The rounds of a run as a table for the terminal; of one with a control, those of the main arm."""
    return _table(told, f"{told['name']}: {told['state']} ({told['reason']})", told["rounds"])


def control_tables(told: dict[str, Any]) -> Iterator[Table | str]:
    """The rounds of the control, and what both arms say against each other; nothing where there is none."""
    if told["control"]:
        yield _table(told, "control: picked at random", told["control"]["rounds"])
        yield from told["control"]["sentences"]


def _table(told: dict[str, Any], title: str, rows: list[dict[str, Any]]) -> Table:
    """The rounds of an arm; what was left out is told only where something was."""
    table = Table(title=title, title_justify="left")
    heads = ["round", "bought", "accuracy", "95 % interval", "parsed", "teacher tokens", "money"]
    left_out = any(row["too_long"] for row in rows)
    sifted = any(row["prefiltered"] for row in rows)
    heads += [name for name, shown in (("not scored", sifted), ("rows too long", left_out)) if shown]
    for head in heads:
        table.add_column(head, justify="right")
    currency = told["spent"]["currency"] or ""
    for row in rows:
        low, high = row["intervals"]["accuracy"]
        table.add_row(
            str(row["round"]),
            str(row["questions"]),
            f"{row['accuracy']:.1%}",
            f"{low:.0%} to {high:.0%}",
            f"{row['parsed']:.1%}",
            f"{row['tokens_in']} + {row['tokens_out']}",
            f"{row['money']:.4f} {currency}".strip(),
            *([str(row["prefiltered"])] if sifted else []),
            *([f"{row['too_long']} of {row['examples'] + row['too_long']}"] if left_out else []),
        )
    return table


def calibration_table(told: dict[str, Any]) -> Table | None:
    """Whether the scores told wrong from right, round by round; None where the teacher has judged nothing.

    It says of how many: what was not bought, or bought and not judged, is in none of the figures.
    """
    rows = [row for row in told["calibration"] if row["judged"]]
    if not rows:
        return None
    currency = told["spent"]["currency"] or ""
    title = "score against verdicts, of what was bought and judged, not of the pool (AUROC, calibration error)"
    table = Table(title=title, title_justify="left")
    for head in ("round", "judged", "wrong steps", "wrong questions", "needed no repair", "spent on these"):
        table.add_column(head, justify="right")
    for row in rows:
        low, high = row["interval"]
        charge = row["unneeded_charge"]
        table.add_row(
            str(row["round"]),
            f"{row['judged']} of {row['bought']} bought",
            _detected(row["steps"]),
            _detected(row["questions"]),
            f"{row['unneeded']} of {row['judged']} ({low:.0%} to {high:.0%})",
            f"{charge['tokens_in']} + {charge['tokens_out']} tokens, {charge['money']:.4f} {currency}".rstrip(),
        )
    return table


def _detected(found: dict[str, Any]) -> str:
    share = f"{found['wrong']} of {found['n']}"
    if not found["n"]:
        return "cannot be said: none scored and judged"
    error = [] if found["calibration_error"] is None else [f"{found['calibration_error']:.2f}"]
    if found["auroc"] is None:
        return "; ".join([f"cannot be said: {share} wrong", *error])
    figures = ", ".join([f"{found['auroc']:.2f}", *error])
    return f"{figures} ({share} wrong)"


def outcome_table(told: dict[str, Any]) -> Table:
    """How revisions and replies ended."""
    table = Table(title="outcomes", title_justify="left")
    table.add_column("of")
    table.add_column("outcome")
    table.add_column("count", justify="right")
    for kind, counts in told["outcomes"].items():
        for outcome, count in sorted(counts.items()):
            table.add_row(kind, outcome, str(count))
    return table


def forecast_line(told: dict[str, Any]) -> str | None:
    """What was forecast before the run beside what it took; None where nothing was forecast.

    The seconds are those of waiting for the teacher.
    """
    rows = forecast_rows(told)
    if not rows:
        return None
    parts = [f"{row['what']} {row['p10']:,.4g} to {row['p90']:,.4g} (now {row['now']:,.4g})" for row in rows]
    return f"forecast for {told['forecast']['questions']} questions: {', '.join(parts)}"


def forecast_rows(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Each figure of the forecast (quantiles) beside what it has come to; none where nothing was forecast."""
    forecast, spent = told["forecast"], told["spent"]
    if forecast is None:
        return []
    now = {name: spent[name] for name in ("calls", "tokens_in", "tokens_out", "money")} | {"seconds": spent["revising"]}
    return [
        {"what": name, **forecast[name], "now": amount}
        for name, amount in now.items()
        if name != "money" or forecast["priced"]
    ]


def _currency(ledger: Ledger) -> str | None:
    """That of the teacher's price, where nothing was charged yet; None where it has none."""
    prices = price_tables(ledger)
    return prices[-1].currency if prices else None


def _revising(ledger: Ledger) -> float:
    stages = (event.payload for event in ledger.events(Kind.STAGE))
    return sum(stage["seconds"] for stage in stages if stage["stage"] == "revise")


def _has_control(sessions: Sequence[Event]) -> bool:
    return any(session.payload["experiment"].get("control", {}).get("share") for session in sessions)


def _arm(ledger: Ledger) -> dict[str, Any]:
    """Rounds and calibration of the arm that sees the ledger."""
    latest = {event.round: from_json(Round, event.payload) for event in ledger.events(Kind.ROUND)}
    sifted = {event.round: event.payload for event in ledger.events(Kind.PREFILTER)}
    return {
        "rounds": _rounds([latest[number] for number in sorted(latest)], sifted),
        "calibration": _calibration(ledger),
    }


def _against(ledger: Ledger) -> dict[str, Any]:
    """What the main arm says against the control, as `elad compare` tells it and in words; why not, where it cannot."""
    used = [
        {name for event in ledger.of(arm).events(Kind.REVISION) for name in event.payload["requests"]}
        for arm in (MAIN, CONTROL)
    ]
    shared = len(used[0] & used[1])
    told = [f"{shared} replies were of use to both arms: paid for once, and counted for both below"] if shared else []
    try:
        found, _ = compare([ledger.folder])
    except InputError as error:
        return {"shared": shared, "comparison": None, "sentences": [*told, f"no comparison yet: {error}"]}
    words = [*told, sentence(found), *remarks(found), along_line(found)]
    return {"shared": shared, "comparison": found, "sentences": words}


def _forecast(folder: Path) -> Any:
    path = folder / PLAN_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as error:
        raise RunFolderError(f"{path}: not JSON: {error}") from error


def _rounds(rounds: list[Round], sifted: Mapping[int, Any]) -> list[dict[str, Any]]:
    """`sifted` is what the prefilter told of each round that it had something to do in."""
    out: list[dict[str, Any]] = []
    bought, before = 0, None
    for turn in rounds:
        bought += sum(turn.revisions.values())
        charge = turn.charge
        out.append(
            {
                "round": turn.round,
                "accuracy": turn.accuracy,
                "accuracy_lenient": turn.accuracy_lenient,
                "interval": list(turn.intervals["accuracy"]),
                "intervals": {name: list(bounds) for name, bounds in turn.intervals.items()},
                "parsed": turn.parsed,
                "steps": turn.steps,
                "questions": bought,
                "examples": turn.examples,
                "too_long": turn.too_long,
                "prefiltered": sifted[turn.round]["drafts"] - sifted[turn.round]["kept"] if turn.round in sifted else 0,
                "tokens_in": charge.tokens_in - (before.tokens_in if before else 0),
                "tokens_out": charge.tokens_out - (before.tokens_out if before else 0),
                "money": charge.money - (before.money if before else 0.0),
                "revisions": dict(turn.revisions),
                "seconds": dict(turn.seconds),
            }
        )
        before = charge
    return out


def _calibration(ledger: Ledger) -> list[dict[str, Any]]:
    """The calibration of each round, of how many it bought, and Wilson's interval of what needed no repair."""
    latest = {event.round: event.payload for event in ledger.events(Kind.CALIBRATION)}
    bought = Counter(event.round for event in ledger.events(Kind.REVISION))
    return [
        {
            "round": number,
            "bought": bought[number],
            **told,
            "interval": list(wilson(told["unneeded"], told["judged"])),
        }
        for number, told in sorted(latest.items())
    ]


def _outcomes(ledger: Ledger) -> dict[str, dict[str, int]]:
    """How drafts, replies and revisions ended, and what a guide explained."""
    counts: dict[str, Counter[str]] = {}
    for kind in (Kind.DRAFT, Kind.REPLY, Kind.REVISION):
        counts[kind.value] = Counter(event.payload["outcome"] for event in ledger.events(kind))
    grades = (event.payload["grade"] for event in ledger.events(Kind.GUIDED))
    counts[Kind.GUIDED.value] = Counter("right" if grade["strict"] else "wrong" for grade in grades)
    return {kind: dict(counter) for kind, counter in counts.items() if counter}
