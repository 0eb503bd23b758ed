"""Verbs before money is spent."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from elad.cli.common import AsJson, Described, Overrides, app, out, print_json


@app.command()
def plan(
    experiment: Described,
    overrides: Overrides = None,
    earlier: Annotated[list[Path] | None, typer.Option(help="Folder of an earlier run to learn from.")] = None,
    drafts: Annotated[bool, typer.Option(help="Let the student write the chains that are rehearsed.")] = True,
    as_json: AsJson = False,
) -> None:
    """What a run will cost, before a cent is spent: calls, tokens, money and time, each with a range."""
    from elad.methods.finding import find
    from elad.plan.plan import plan as make_plan
    from elad.plan.plan import told

    found = told(make_plan(find(experiment, overrides or []), earlier or [], drafts=drafts))
    if as_json:
        print_json(found)
        return
    out.print(_table(found))
    wanted, buys = found["questions"], found["buys"]
    out.print("the budget bears all of it" if found["fits"] else f"the budget bears {buys} of {wanted} questions")
    if not found["priced"]:
        out.print("no price is known: give teacher.price for money")
    out.print(f"{found['cacheable']:.0%} of the prompts is the same each time: a prefix cache can serve it")
    chains = f"{found['rehearsed']} questions rehearsed, {found['drafted']} with the student's own chains"
    out.print(f"rests on {found['seen']} revisions of earlier runs, {chains}", highlight=False)


def _table(found: dict[str, Any]) -> Table:
    table = Table(title=f"{found['questions']} questions", title_justify="left")
    for head in ("", "10 %", "median", "90 %"):
        table.add_column(head, justify="right")
    for name in ("calls", "tokens_in", "tokens_out", "money", "seconds"):
        digits = 4 if name == "money" else 0
        unit = f" ({found['currency']})" if name == "money" and found["currency"] else ""
        marks = [f"{found[name][mark]:,.{digits}f}" for mark in ("p10", "p50", "p90")]
        table.add_row(name.replace("_", " ") + unit, *marks)
    return table
