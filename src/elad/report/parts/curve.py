"""Accuracy against what was spent, with bands, and what changed on the held-out questions."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from elad.errors import RunFolderError
from elad.evaluation.bands import bands
from elad.evaluation.curves import Curve, accuracy_at
from elad.evaluation.paired import sign_flips
from elad.ledger.course import measured
from elad.ledger.events import CONTROL, MAIN, Ledger
from elad.records import derive_seed
from elad.report.page.document import Figure, Heading, Line, Lines, Part, Points, Prose, Section, Table
from elad.report.page.wording import between, count, money, share

_COSTS = {"money": "money", "tokens_out": "teacher output tokens", "questions": "questions bought"}
_GRID = 24
_ROUNDING = 1e-9


def curves(ledger: Ledger, status: dict[str, Any], seed: int) -> dict[str, Any]:
    """The curve of each arm against money, or output tokens where none was spent, and against questions; what changed.

    An arm counts what it has paid for itself. Bands are the bootstrap over questions at 95 %: they show what other
    held-out questions might have given, and know nothing of the luck of a seed.
    Raises: RunFolderError where the grades of a round are not all in the ledger.
    """
    rounds = {MAIN: status["rounds"]} | ({CONTROL: status["control"]["rounds"]} if status["control"] else {})
    found = {arm: _curve(ledger.of(arm), rows, seed) for arm, rows in rounds.items() if rows}
    spent = [name for name in ("money", "tokens_out") if any(curve.costs[name][-1] > 0 for curve in found.values())]
    costs = [*spent[:1], "questions"]
    return {
        "heldout": len(found[MAIN].right[0]) if found else 0,
        "currency": status["spent"]["currency"],
        "costs": costs,
        "arms": {
            arm: {
                "rounds": [_point(curve, place, row) for place, row in enumerate(rounds[arm])],
                "bands": {name: _band(curve, name) for name in costs},
            }
            for arm, curve in found.items()
        },
        "change": _change(found[MAIN]) if found else None,
    }


def _curve(ledger: Ledger, rows: Sequence[dict[str, Any]], seed: int) -> Curve:
    made = measured(ledger)
    for row, one in zip(rows, made, strict=True):
        if not one.right or abs(sum(one.right) / len(one.right) - row["accuracy"]) > _ROUNDING:
            raise RunFolderError(f"{ledger.folder}: the grades of round {row['round']} are not all in the ledger")
    return Curve(
        seed=seed,
        costs={
            "money": tuple(one.money for one in made),
            "tokens_out": tuple(accumulate(row["tokens_out"] for row in rows)),
            "questions": tuple(one.questions for one in made),
        },
        right=tuple(one.right for one in made),
    )


def _point(curve: Curve, place: int, row: dict[str, Any]) -> dict[str, Any]:
    spent = {name: amounts[place] for name, amounts in curve.costs.items()}
    told = ("round", "accuracy", "accuracy_lenient", "interval", "parsed", "steps", "examples", "too_long")
    return {name: row[name] for name in told} | spent


def _band(curve: Curve, cost: str) -> list[dict[str, float]]:
    end = curve.costs[cost][-1]
    amounts = [end * i / _GRID for i in range(_GRID + 1)] if end else [0.0]
    ends = bands([curve], cost, amounts, seed=derive_seed("bands"))
    return [
        {"spent": amount, "accuracy": accuracy_at([curve], cost, amount), "low": low, "high": high}
        for amount, (low, high) in zip(amounts, ends, strict=True)
    ]


def _change(curve: Curve) -> dict[str, Any]:
    """How many held-out questions the last round answers otherwise than round 0, and how likely that is by chance."""
    first, last = curve.right[0], curve.right[-1]
    flips = sign_flips([after - before for before, after in zip(first, last, strict=True)], seed=derive_seed("change"))
    return {
        "rounds": len(curve.right) - 1,
        "gained": sum(after and not before for before, after in zip(first, last, strict=True)),
        "lost": sum(before and not after for before, after in zip(first, last, strict=True)),
        "p": flips.p,
    }


def sentence(told: dict[str, Any]) -> str:
    """What came of the main arm, in one sentence."""
    found = told["curve"]
    if not found["arms"]:
        return "Nothing has been measured yet: no round has come to its end."
    rows = found["arms"][MAIN]["rounds"]
    first, last = rows[0], rows[-1]
    before = f"{share(first['accuracy'])} ({between(first['interval'])})"
    if len(rows) == 1:
        return f"Before anything was bought the student was right on {before} of {found['heldout']} held-out questions."
    moved = last["accuracy"] - first["accuracy"]
    way = f"{'rose' if moved > 0 else 'fell'} from {before} to" if moved else "stayed at"
    return (
        f"Held-out accuracy {way} {share(last['accuracy'])} ({between(last['interval'])}), n = {found['heldout']}, "
        f"with {count(last['questions'], 'question')} bought for {_paid(last, found['currency'])}."
    )


def _paid(row: dict[str, Any], currency: str | None) -> str:
    tokens = f"{row['tokens_out']:,} teacher output tokens"
    if currency:
        return f"{money(row['money'], currency)} and {tokens}"
    return tokens if row["tokens_out"] else "nothing (the teacher has no price and counts no tokens)"


def section(told: dict[str, Any]) -> Section:
    """The curve with its rounds as a table, what changed, and what a control says."""
    found, control = told["curve"], told["status"]["control"]
    parts: list[Part] = [_figure(told), *_changed(found)] if found["arms"] else [Prose(text=sentence(told))]
    if control:
        parts += [Heading(text="Against the control"), Points(entries=control["sentences"])]
    return Section(name="curve", title="Accuracy against money", parts=parts)


def _changed(found: dict[str, Any]) -> Iterator[Prose]:
    change = found["change"]
    if change and change["rounds"]:
        yield Prose(
            text=f"Question by question, from round 0 to the last: {change['gained']} became right, {change['lost']} "
            f"became wrong, {found['heldout'] - change['gained'] - change['lost']} stayed as they were (sign flips "
            f"over questions: p = {change['p']:.2g}, for this very student and no other)."
        )


def _figure(told: dict[str, Any]) -> Figure:
    found, seed = told["curve"], told["asked"]["seed"]
    shared = told["status"]["control"]["shared"] if told["status"]["control"] else 0
    caption = (
        f"n = {found['heldout']} held-out questions, seed {seed}, one run. Marks: rounds. Band: bootstrap at 95 % "
        "over questions, without the luck of a seed; it decides nothing. Each arm counts what it paid itself"
        + (f"; {shared} replies that both used stand where they were paid." if shared else ".")
    )
    charts = [
        Lines(x=label(cost, found["currency"]), y="held-out accuracy (%)", lines=_lines(found, cost))
        for cost in found["costs"]
    ]
    return Figure(title="Held-out accuracy by what was spent", caption=caption, charts=charts, table=_table(found))


def label(cost: str, currency: str | None) -> str:
    """What an axis of a cost is called, with its unit."""
    return f"{_COSTS[cost]}{f' ({currency})' if cost == 'money' and currency else ''}, so far"


def _lines(found: dict[str, Any], cost: str) -> list[Line]:
    return [
        Line(
            name={MAIN: "this run", CONTROL: "control (random)"}[arm],
            points=[(one["spent"], 100 * one["accuracy"]) for one in its["bands"][cost]],
            marks=[(one[cost], 100 * one["accuracy"]) for one in its["rounds"]],
            band=[(one["spent"], 100 * one["low"], 100 * one["high"]) for one in its["bands"][cost]],
        )
        for arm, its in found["arms"].items()
    ]


def _table(found: dict[str, Any]) -> Table:
    unit = f" ({found['currency']})" if found["currency"] else ""
    head = ("arm", "round", "bought", "output tokens", f"money{unit}", "accuracy", "95 % interval", "lenient", "parsed")
    rows = [
        (
            arm,
            str(row["round"]),
            f"{row['questions']:,}",
            f"{row['tokens_out']:,}",
            money(row["money"], None),
            share(row["accuracy"]),
            between(row["interval"]),
            share(row["accuracy_lenient"]),
            share(row["parsed"]),
        )
        for arm, its in found["arms"].items()
        for row in its["rounds"]
    ]
    return Table(title="Rounds; what was spent is the sum so far", head=head, rows=rows)
