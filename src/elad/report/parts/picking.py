"""What was selected, held against what was open and was not."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from elad.evaluation.intervals import quantile
from elad.ledger.events import MAIN
from elad.report.page.document import Bars, Figure, Part, Prose, Section, Table
from elad.report.page.wording import NONE, count, number, share
from elad.report.parts.material import Draft, Material, at_round

_BINS = 10


def picking(material: Material) -> dict[str, Any]:
    """By round of the main arm, the drafts that were picked and those that were open and were not; scores of both.

    What did not fit the student's context was never open, and is in neither.
    """
    picked: dict[int, set[str]] = {}
    for one in material.of(MAIN):
        picked.setdefault(one.round, set()).add(one.problem_id)
    rounds: list[dict[str, Any]] = []
    scores: tuple[list[float], list[float]] = ([], [])
    closed: set[str] = set()
    for number_, chosen in sorted(picked.items()):
        groups: tuple[list[Draft], list[Draft]] = ([], [])
        for problem, drafts in material.drafts.items():
            draft = at_round(drafts, number_)
            if draft is not None and problem not in closed:
                groups[problem not in chosen].append(draft)
        for place, group in enumerate(groups):
            scores[place].extend(draft.score for draft in group if draft.score is not None)
        rounds.append({"round": number_, "selected": _summary(groups[0]), "not_selected": _summary(groups[1])})
        closed |= chosen
    return {"rounds": rounds, "histogram": _histogram(*scores)}


def _summary(drafts: Sequence[Draft]) -> dict[str, Any]:
    scores = sorted(draft.score for draft in drafts if draft.score is not None)
    surprises = [draft.surprise for draft in drafts if draft.surprise is not None]
    return {
        "n": len(drafts),
        "scored": len(scores),
        "score": fmean(scores) if scores else None,
        "quartiles": [quantile(scores, part) for part in (0.25, 0.5, 0.75)] if scores else None,
        "steps": fmean(draft.steps for draft in drafts) if drafts else None,
        "tokens": fmean(draft.tokens for draft in drafts) if drafts else None,
        "unread": fmean(not draft.answered for draft in drafts) if drafts else None,
        "surprise": fmean(surprises) if surprises else None,
    }


def _histogram(selected: Sequence[float], rest: Sequence[float]) -> dict[str, Any] | None:
    """Counts in ten bins from 0 to 1, or to the highest score where that is above; None without scores."""
    if not selected and not rest:
        return None
    top = max(1.0, *selected, *rest)

    def counted(scores: Sequence[float]) -> list[int]:
        counts = [0] * _BINS
        for score in scores:
            counts[min(int(score / top * _BINS), _BINS - 1)] += 1
        return counts

    edges = [top * i / _BINS for i in range(_BINS + 1)]
    return {"edges": edges, "selected": counted(selected), "not_selected": counted(rest)}


def section(told: dict[str, Any]) -> Section:
    """Scores, lengths and unread answers of both groups."""
    found = told["picking"]
    if not found["rounds"]:
        return Section(name="picking", title="Selected against not selected", parts=[Prose(text="Nothing was picked.")])
    kind = told["asked"]["settings"].get("selector.kind")
    parts: list[Part] = []
    if found["histogram"]:
        parts.append(_figure(told, found["histogram"]))
    else:
        parts.append(
            Prose(text=f"The selector ({kind}) goes by no scores, so none were made: the groups differ by lot.")
        )
    parts.append(_table(found["rounds"]))
    return Section(name="picking", title="Selected against not selected", parts=parts)


def _figure(told: dict[str, Any], found: dict[str, Any]) -> Figure:
    names = ("selected", "not_selected")
    sums = {name: sum(found[name]) for name in names}
    shares = {name: [100 * one / sums[name] if sums[name] else 0.0 for one in found[name]] for name in names}
    edges = found["edges"]
    bins = [f"{low:.2g} to {high:.2g}" for low, high in pairwise(edges)]
    rows = [(span, *(f"{found[name][i]:,} ({shares[name][i]:.1f}%)" for name in names)) for i, span in enumerate(bins)]
    return Figure(
        title="Scores of what was selected and of what was not",
        caption=f"n = {sums['selected']:,} selected and {sums['not_selected']:,} not, each time that a question was "
        f"open, over {count(len(told['picking']['rounds']), 'round')}, seed {told['asked']['seed']}, main arm; each "
        "group adds up to 100 %.",
        charts=[
            Bars(
                x="score of the question (0 sure, 1 unsure)",
                y="share of the group (%)",
                categories=[f"{low:.2g}" for low in edges[:-1]],
                series=[("selected", shares["selected"]), ("not selected", shares["not_selected"])],
            )
        ],
        table=Table(title="Scores in ten bins", head=("score", "selected", "not selected"), rows=rows),
    )


def _table(rounds: list[dict[str, Any]]) -> Table:
    head = (
        "round", "group", "n", "scored", "mean score", "quartiles", "steps", "tokens", "no answer read", "nats a token",
    )  # fmt: skip
    rows = [
        (str(row["round"]), name.replace("_", " "), *_cells(row[name]))
        for row in rounds
        for name in ("selected", "not_selected")
    ]
    return Table(title="By round: means of the student's drafts", head=head, rows=rows, words=frozenset({0, 1}))


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    quartiles = one["quartiles"]
    return (
        f"{one['n']:,}",
        f"{one['scored']:,}",
        number(one["score"]),
        " / ".join(f"{value:.2f}" for value in quartiles) if quartiles else NONE,
        number(one["steps"], 1),
        number(one["tokens"], 0),
        NONE if one["unread"] is None else share(one["unread"]),
        number(one["surprise"]),
    )
