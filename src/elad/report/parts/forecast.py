"""What was forecast before anything was spent, beside what it came to."""

from typing import Any

from elad.report.page.document import Part, Prose, Section, Table
from elad.report.page.wording import count
from elad.report.status import forecast_rows

_UNITS = {"calls": "calls", "tokens_in": "tokens in", "tokens_out": "tokens out", "seconds": "seconds of waiting"}


def section(told: dict[str, Any]) -> Section:
    """The quantiles of the forecast and where what was spent lies among them."""
    status = told["status"]
    rows = forecast_rows(status)
    if not rows:
        parts: list[Part] = [
            Prose(
                text="Nothing was forecast: a run whose teacher takes money or time is forecast when elad run "
                "begins it."
            )
        ]
        return Section(name="forecast", title="Forecast against actual", parts=parts)
    finished = sum(one["outcome"] is not None for one in told["bought"])
    asked = count(status["forecast"]["questions"], "question")
    parts = [
        Prose(
            text=f"Forecast for {asked}; {finished:,} have a finished revision. The range is meant to hold four in "
            "five outcomes."
        ),
        Table(
            title="Forecast (10 %, median, 90 %) and what it has come to",
            head=("what", "10 %", "median", "90 %", "actual", "within"),
            rows=[_row(row, status) for row in rows],
            words=frozenset({0, 5}),
        ),
    ]
    return Section(name="forecast", title="Forecast against actual", parts=parts)


def _row(row: dict[str, Any], status: dict[str, Any]) -> tuple[str, ...]:
    digits = 4 if row["what"] == "money" else 0
    within = "yes" if row["p10"] <= row["now"] <= row["p90"] else "below" if row["now"] < row["p10"] else "above"
    what = _UNITS.get(row["what"], f"money ({status['spent']['currency'] or status['forecast']['currency']})")
    return (what, *(f"{row[name]:,.{digits}f}" for name in ("p10", "p50", "p90", "now")), within)
