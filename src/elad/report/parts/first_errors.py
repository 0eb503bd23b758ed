"""Where chains go wrong: the first wrong step by its position."""

from collections import Counter
from typing import Any

from elad.ledger.events import MAIN
from elad.outcomes import RevisionOutcome
from elad.report.page.document import Bars, Figure, Part, Prose, Section, Table
from elad.report.page.wording import share
from elad.report.parts.material import Material

_MOST = 12
"""Positions that have a bar of their own."""


def first_errors(material: Material) -> dict[str, Any]:
    """By position from 1: chains of the main arm whose first wrong step it is, of those that were judged so far.

    A chain is judged up to its first wrong step, or to its end where none was found.
    """
    judged = [one for one in material.of(MAIN) if one.judged or one.first_error is not None]
    wrong = Counter(one.first_error + 1 for one in judged if one.first_error is not None)
    reached = Counter(one.judged if one.first_error is None else one.first_error + 1 for one in judged)
    longest = max(reached, default=0)
    return {
        "judged": len(judged),
        "without": sum(one.first_error is None for one in judged),
        "accepted": sum(one.outcome == RevisionOutcome.ACCEPTED for one in judged),
        "positions": [
            {"position": at, "wrong": wrong[at], "judged": sum(n for end, n in reached.items() if end >= at)}
            for at in range(1, longest + 1)
        ],
    }


def section(told: dict[str, Any]) -> Section:
    """How many chains are first wrong at each position."""
    found = told["first_errors"]
    title = "First wrong step"
    if not found["judged"]:
        return Section(name="steps", title=title, parts=[Prose(text="No step was judged.")])
    first, rest = found["positions"][:_MOST], found["positions"][_MOST:]
    labels = [str(one["position"]) for one in first] + ([f"{_MOST + 1} and later"] if rest else [])
    counts = [one["wrong"] for one in first] + ([sum(one["wrong"] for one in rest)] if rest else [])
    table = Table(
        title="By position",
        head=("step", "first wrong here", "judged that far", "share"),
        rows=[
            (str(one["position"]), f"{one['wrong']:,}", f"{one['judged']:,}", share(one["wrong"] / one["judged"]))
            for one in found["positions"]
        ],
    )
    parts: list[Part] = [
        Prose(
            text=f"Of {found['judged']:,} chains with a judged step, no wrong step was found in "
            f"{found['without']:,}. The verdicts are the teacher's, and no truth."
        ),
        Figure(
            title="First wrong step by position",
            caption=f"n = {found['judged'] - found['without']:,} chains with a wrong step, seed "
            f"{told['asked']['seed']}, main arm, all rounds. Steps are counted from 1.",
            charts=[
                Bars(
                    x="position of the first wrong step",
                    y="chains",
                    categories=labels,
                    series=[("chains", [float(one) for one in counts])],
                )
            ],
            table=table,
        ),
    ]
    return Section(name="steps", title=title, parts=parts)
