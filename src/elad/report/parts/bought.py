"""Every question that was picked, one a row."""

from typing import Any

from elad.report.page.document import Prose, Section, Table
from elad.report.page.wording import NONE, brief, cut, money, number
from elad.report.parts.material import Bought, Material

MOST_ROWS = 5000
"""Of the table; the JSON has all."""
_ID_CHARS = 40
_QUESTION_CHARS = 60


def bought(material: Material) -> list[dict[str, Any]]:
    """Each pick with what came of it, in the order of arms and picks; the question's beginning alone."""
    return [_told(one) for one in material.bought]


def _told(one: Bought) -> dict[str, Any]:
    return {
        "problem_id": cut(one.problem_id, 200),
        "question": one.question,
        "gold": one.gold,
        "arm": one.arm,
        "round": one.round,
        "rank": one.rank,
        "by": one.by,
        "score": one.score,
        "outcome": one.outcome,
        "first_error": one.first_error,
        "judged": one.judged,
        **{name: one.charge.get(name, 0) for name in ("calls", "tokens_in", "tokens_out", "money")},
    }


def section(told: dict[str, Any]) -> Section:
    """The table of all picks."""
    rows = told["bought"]
    title = "All questions that were picked"
    if not rows:
        return Section(name="questions", title=title, parts=[Prose(text="Nothing was picked.")])
    currency = told["status"]["spent"]["currency"]
    arms = len({row["arm"] for row in rows}) > 1
    head = ("id", "question", *(("arm",) if arms else ()), "round", "score", "outcome", "first wrong", "tokens out")
    head = (*head, *((f"money ({currency})",) if currency else ()))
    table = Table(
        title=f"{len(rows):,} questions",
        head=head,
        rows=[_row(row, arms=arms, currency=currency) for row in rows[:MOST_ROWS]],
        words=frozenset({0, 1, 2, 5} if arms else {0, 1, 4}),
    )
    more = [Prose(text=f"The first {MOST_ROWS:,} of {len(rows):,}; elad report --format json has all.")]
    return Section(name="questions", title=title, parts=[*(more if len(rows) > MOST_ROWS else ()), table])


def _row(row: dict[str, Any], *, arms: bool, currency: str | None) -> tuple[str, ...]:
    return (
        brief(row["problem_id"], _ID_CHARS),
        brief(row["question"], _QUESTION_CHARS),
        *((row["arm"],) if arms else ()),
        str(row["round"]),
        number(row["score"]),
        row["outcome"] or "not finished",
        NONE if row["first_error"] is None else str(row["first_error"] + 1),
        f"{row['tokens_out']:,}",
        *((money(row["money"], None),) if currency else ()),
    )
