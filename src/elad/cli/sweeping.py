"""`elad sweep`: arms x seeds from one file, and what they say against each other."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from elad.cli.common import AsJson, Overrides, app, err, out, print_json, resumable
from elad.cli.comparing import compared, draw, show
from elad.cli.running import plan_first
from elad.errors import EladError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elad.report.runs import Arm
    from elad.sweep import Ended


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file: base, arms, seeds, out.")],
    folder: Annotated[Path | None, typer.Option("--out", help="Folder of all cells, in place of the file's.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Runs every arm with every seed, each in OUT/ARM/seed-N, and compares them; the same command again goes on.

    What is finished is left alone. A cell that fails does not keep the others, and makes the exit status that of its
    error.
    """
    from elad.report.console import ConsoleProgress
    from elad.sweep import Cell, read_sweep
    from elad.sweep import sweep as run_cells

    cells = read_sweep(file, overrides or [], folder)

    def begin(cell: Cell, place: int) -> ConsoleProgress:
        err.print(f"{cell.arm}, seed {cell.seed} ({place + 1} of {len(cells)}): {cell.folder}", highlight=False)
        plan_first(cell.experiment, cell.folder)
        return ConsoleProgress(err)

    ended: list[Ended] = []
    with resumable():
        for one in run_cells(cells, begin):
            ended.append(one)
            if one.error:
                err.print(f"failed: {_why(one.error)}", style="red", highlight=False, markup=False)
    comparison, arms, why_not = _compared(ended)
    told = {"cells": [_cell(one) for one in ended], "comparison": comparison, "not_compared": why_not}
    if not as_json:
        _show(told)
    if comparison:
        draw(comparison, arms, cells[0].folder.parents[1] / "compare.svg")
    if as_json:
        print_json(told)
    failed = [one.error for one in ended if one.error]
    if failed:
        err.print(f"[bold red]error:[/] {len(failed)} of {len(cells)} cells failed; the same command tries them again")
        raise typer.Exit(getattr(failed[0], "exit_code", 1))


def _compared(ended: "Sequence[Ended]") -> "tuple[dict[str, Any] | None, list[Arm], str | None]":
    """What the cells that did not fail say, and their arms; why they say nothing, where they cannot be compared."""
    try:
        return *compared([one.cell.folder for one in ended if not one.error]), None
    except EladError as error:
        return None, [], str(error)


def _cell(one: "Ended") -> dict[str, Any]:
    state = "failed" if one.error else "finished" if one.fresh else "was finished"
    reason = _why(one.error) if one.error else ""
    folder = str(one.cell.folder)
    cell = {"arm": one.cell.arm, "seed": one.cell.seed, "folder": folder, "state": state, "reason": reason}
    return cell | {"cached": one.cached}


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, EladError) else f"{type(error).__name__}: {error}"


def _show(told: dict[str, Any]) -> None:
    table = Table()
    for head in ("arm", "seed", "state", "folder", "reason"):
        table.add_column(head, overflow="fold")
    for row in told["cells"]:
        table.add_row(*(escape(str(row[head])) for head in ("arm", "seed", "state", "folder", "reason")))
    out.print(table)
    if cached := sum(row["cached"] for row in told["cells"]):
        out.print(f"{cached} replies came from the cache: not paid for again, and counted by caps as if they had been")
    if told["comparison"]:
        show(told["comparison"])
    else:
        out.print(f"not compared: {told['not_compared']}", highlight=False, markup=False)
