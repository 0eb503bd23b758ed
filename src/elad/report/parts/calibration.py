"""Does the score tell wrong from right? What the teacher's verdicts say of it."""

from collections.abc import Sequence
from typing import Any

from elad.evaluation.calibration import labelled, reliability
from elad.evaluation.intervals import wilson
from elad.ledger.events import MAIN
from elad.records import to_json
from elad.report.page.document import Figure, Line, Lines, Part, Prose, Section, Table
from elad.report.page.wording import NONE, between, money, number, share
from elad.report.parts.material import Material


def calibrated(material: Material) -> dict[str, Any]:
    """The bins of scores of the main arm's judged steps and questions, over all rounds, with Wilson's intervals."""
    steps: list[tuple[float, bool]] = []
    questions: list[tuple[float, bool]] = []
    for one in material.of(MAIN):
        candidate, revision = material.candidate(one), material.revision(one)
        if candidate is not None and revision is not None:
            found = labelled([(candidate, revision)])
            steps += found.steps
            questions += found.questions
    return {"steps": _bins(steps), "questions": _bins(questions)}


def _bins(pairs: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    bins = [to_json(one) | {"interval": list(wilson(one.wrong, one.n))} for one in reliability(pairs)]
    return {"n": len(pairs), "wrong": sum(wrong for _, wrong in pairs), "bins": bins}


def section(told: dict[str, Any]) -> Section:
    """AUROC and calibration error by round, and the score against the share of what is wrong."""
    rounds, found = [row for row in told["status"]["calibration"] if row["judged"]], told["calibration"]
    title = "The score's calibration"
    if not rounds:
        text = "The teacher has judged nothing, so whether the score tells wrong from right cannot be said."
        return Section(name="calibration", title=title, parts=[Prose(text=text)])
    parts: list[Part] = [
        Prose(
            text="AUROC: the chance that a wrong step (or question) scores above a right one; 50 % is no better "
            "than a coin. Calibration error: how far scores, read as chances of being wrong, are off on average. "
            "Both are of what was bought and judged, not of the pool."
        ),
        _rounds(rounds),
    ]
    if found["questions"]["bins"] or found["steps"]["bins"]:
        parts.append(_figure(told, found))
    elif found["questions"]["n"]:
        parts.append(Prose(text="Scores pass 1, so they are no chances, and there is no calibration to draw."))
    else:
        parts.append(Prose(text="Nothing that was judged had a score, so there is no calibration to draw."))
    parts.append(_unneeded(rounds, told["status"]["spent"]["currency"]))
    return Section(name="calibration", title=title, parts=parts)


def _rounds(rows: list[dict[str, Any]]) -> Table:
    head = (
        "round", "judged of bought", "steps wrong", "AUROC, steps", "error, steps", "questions wrong", "AUROC, "
        "questions",
        "error, questions",
    )  # fmt: skip
    return Table(
        title="By round",
        head=head,
        rows=[
            (
                str(row["round"]),
                f"{row['judged']} of {row['bought']}",
                *(cell for kind in ("steps", "questions") for cell in _detected(row[kind])),
            )
            for row in rows
        ],
    )


def _unneeded(rows: list[dict[str, Any]], currency: str | None) -> Table:
    unit = (f"money ({currency})",) if currency else ()
    return Table(
        title="Bought, and found to need no repair",
        head=("round", "needed none", "95 % interval", "tokens in", "tokens out", *unit),
        rows=[
            (
                str(row["round"]),
                f"{row['unneeded']} of {row['judged']}",
                between(row["interval"]),
                f"{row['unneeded_charge']['tokens_in']:,}",
                f"{row['unneeded_charge']['tokens_out']:,}",
                *((money(row["unneeded_charge"]["money"], None),) if currency else ()),
            )
            for row in rows
        ],
    )


def _detected(found: dict[str, Any]) -> tuple[str, str, str]:
    return f"{found['wrong']} of {found['n']}", number(found["auroc"]), number(found["calibration_error"])


def _figure(told: dict[str, Any], found: dict[str, Any]) -> Figure:
    seed = told["asked"]["seed"]
    kinds = [kind for kind in ("steps", "questions") if found[kind]["bins"]]
    sizes = ", ".join(f"{found[kind]['n']} {kind}" for kind in kinds)
    return Figure(
        title="Score against the share that the teacher called wrong",
        caption=f"n = {sizes} that were bought and judged, all rounds, seed {seed}, main arm. Marks: ten bins of "
        "equal width, empty ones left out; bars: 95 % (Wilson). On the dotted line a score is the chance of being "
        "wrong.",
        charts=[
            Lines(
                x=f"mean score of {kind} (0 sure, 1 unsure)",
                y=f"{kind} called wrong (%)",
                lines=[_line(kind, found[kind]["bins"])],
                diagonal=True,
            )
            for kind in kinds
        ],
        table=Table(
            title="Bins of scores",
            head=("of", "score", "mean score", "n", "called wrong", "95 % interval"),
            rows=[_bin(kind, one) for kind in kinds for one in found[kind]["bins"]],
            words=frozenset({0, 1}),
        ),
    )


def _line(kind: str, bins: list[dict[str, Any]]) -> Line:
    marks = [(one["score"], 100 * one["wrong"] / one["n"]) for one in bins]
    bars = [(one["score"], 100 * one["interval"][0], 100 * one["interval"][1]) for one in bins]
    return Line(name=kind, points=(), marks=marks, bars=bars)


def _bin(kind: str, one: dict[str, Any]) -> tuple[str, ...]:
    span = f"{one['low']:.1f} to {one['high']:.1f}"
    wrong = f"{one['wrong']} ({share(one['wrong'] / one['n'])})" if one["n"] else NONE
    return kind, span, f"{one['score']:.2f}", f"{one['n']:,}", wrong, between(one["interval"])
