"""`elad compare`: whether an arm saves anything against another."""

from pathlib import Path
from typing import Annotated, Any

import typer

from elad.cli.common import AsJson, app, err, out, print_json

DEFAULT_PLOT = Path("compare.svg")


@app.command()
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders of runs that have ended; one suffices if it has a control."),
    ],
    to_accuracy: Annotated[
        float | None,
        typer.Option(help="Compare at this accuracy, 0..1; by default where the reference ends."),
    ] = None,
    target: Annotated[Path | None, typer.Option("--out", help="Plot to write; compare.svg by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Whether one arm saves questions, teacher tokens or money against another, with intervals and a plot.

    Runs that differ in nothing but the seed are one arm; arms are held against the one that selects at random.
    """
    told = compared(folders, target, to_accuracy)
    if as_json:
        print_json(told)
    else:
        show(told)


def compared(folders: list[Path], target: Path | None = None, to_accuracy: float | None = None) -> dict[str, Any]:
    """What the runs say, with the sentences; writes the plot, where it can be drawn or is asked for."""
    from elad.report.compare import compare as make
    from elad.report.plots import missing, plot
    from elad.report.verdict import remarks, sentence

    lacking = missing()
    if lacking and target is not None:
        raise lacking
    told, arms = make(folders, to_accuracy)
    for one in (told, *told["comparisons"]):
        one["sentence"], one["remarks"] = sentence(one), list(remarks(one))
    told["plot"] = None if lacking else str(target or DEFAULT_PLOT)
    if lacking:
        err.print(f"no plot was written: {lacking}", highlight=False, markup=False)
    else:
        plot(told, arms, target or DEFAULT_PLOT)
    return told


def show(told: dict[str, Any]) -> None:
    """The comparison as text and tables."""
    from elad.report.verdict import area_table, arms_table, flips_line, saving_table

    for one in told["comparisons"]:
        out.print(one["sentence"], style="bold", highlight=False, markup=False)
        for remark in one["remarks"]:
            out.print(remark, highlight=False, markup=False)
        out.print(saving_table(one))
        out.print(area_table(one))
        if flips := flips_line(one):
            out.print(flips, highlight=False, markup=False)
    out.print(arms_table(told))
    if told["plot"]:
        out.print(f"plot: {told['plot']}", highlight=False, markup=False)
