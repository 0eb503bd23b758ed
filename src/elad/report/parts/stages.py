"""Where the time went."""

from typing import Any

from elad.ledger.events import MAIN, Kind, Ledger
from elad.report.page.document import Figure, Prose, Section, Shares, Table
from elad.report.page.wording import NONE, count, seconds, share


def stages(ledger: Ledger) -> list[dict[str, Any]]:
    """Seconds by round, arm and stage, of stages that came to their end, over all sessions."""
    found: dict[tuple[int, str, str], float] = {}
    for event in ledger.events(Kind.STAGE):
        key = (event.round, event.arm, event.payload["stage"])
        found[key] = found.get(key, 0.0) + event.payload["seconds"]
    return [
        {"round": number, "arm": arm, "stage": name, "seconds": round(took, 3)}
        for (number, arm, name), took in sorted(found.items())
    ]


def section(told: dict[str, Any]) -> Section:
    """The sum of each stage, and all of them by round."""
    rows, whole = told["stages"], told["status"]["spent"]["seconds"]
    title = "Time by stage"
    if not rows:
        text = f"No stage took long enough to be written down; the run worked for {seconds(whole)}."
        return Section(name="time", title=title, parts=[Prose(text=text)])
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["stage"]] = sums.get(row["stage"], 0.0) + row["seconds"]
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    machine = told["asked"]["machine"]
    figure = Figure(
        title="Working time by stage, all rounds and arms",
        caption=f"Seconds of stages that came to their end, over {count(told['asked']['sessions'], 'session')}; what "
        f"a killed session left half done is not in them. The run worked for {seconds(whole)} in all, on "
        f"{machine['cpus']} CPUs.",
        charts=[
            Shares(x="seconds", rows=[(n, took, f"{seconds(took)} ({share(took / whole)})") for n, took in ordered])
        ],
        table=_table(rows, [name for name, _ in ordered]),
    )
    return Section(name="time", title=title, parts=[figure])


def _table(rows: list[dict[str, Any]], names: list[str]) -> Table:
    by_round: dict[tuple[int, str], dict[str, float]] = {}
    for row in rows:
        by_round.setdefault((row["round"], row["arm"]), {})[row["stage"]] = row["seconds"]
    return Table(
        title="Time by round",
        head=("arm", "round", *names),
        rows=[
            (arm, str(number), *(seconds(took[name]) if name in took else NONE for name in names))
            for (number, arm), took in sorted(by_round.items(), key=lambda item: (item[0][1] != MAIN, item[0]))
        ],
    )
