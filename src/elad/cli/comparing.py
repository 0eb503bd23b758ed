"""`elad compare`: whether an arm saves anything against another."""

from pathlib import Path
from typing import Annotated

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
    from elad.report.compare import compare as make
    from elad.report.plots import missing, plot
    from elad.report.verdict import along_line, arms_table, remarks, saving_table, sentence

    lacking = missing()
    if lacking and target is not None:
        raise lacking
    told, arms = make(folders, to_accuracy)
    for one in (told, *told["comparisons"]):
        one["sentence"], one["remarks"] = sentence(one), list(remarks(one))
    told["plot"] = None if lacking else str(target or DEFAULT_PLOT)
    if not lacking:
        plot(told, arms, target or DEFAULT_PLOT)
    if as_json:
        print_json(told)
    else:
        for one in told["comparisons"]:
            out.print(one["sentence"], style="bold", highlight=False, markup=False)
            for remark in one["remarks"]:
                out.print(remark, highlight=False, markup=False)
            out.print(saving_table(one))
            out.print(along_line(one), highlight=False, markup=False)
        out.print(arms_table(told))
        if told["plot"]:
            out.print(f"plot: {told['plot']}", highlight=False, markup=False)
    if lacking:
        err.print(f"no plot was written: {lacking}", highlight=False, markup=False)
