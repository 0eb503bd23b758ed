"""`elad compare`: whether an arm saves anything against another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elad.cli.common import AsJson, app, err, out, print_json
from elad.errors import EladError, InputError

if TYPE_CHECKING:
    from elad.report.runs import Arm

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
    told, arms = compared(folders, to_accuracy)
    if not as_json:
        show(told)
    drawn = draw(told, arms, target or DEFAULT_PLOT)
    if as_json:
        print_json(told)
    if target and not drawn:
        raise typer.Exit(InputError.exit_code)


def compared(folders: list[Path], to_accuracy: float | None = None) -> "tuple[dict[str, Any], list[Arm]]":
    """What the runs say, with the sentences, and their arms; nothing is drawn yet."""
    from elad.report.compare import compare as make
    from elad.report.verdict import remarks, sentence

    told, arms = make(folders, to_accuracy)
    for one in (told, *told["comparisons"]):
        one["sentence"], one["remarks"] = sentence(one), list(remarks(one))
    return told | {"plot": None}, arms


def draw(told: dict[str, Any], arms: "list[Arm]", target: Path) -> bool:
    """Writes the plot and puts its path into what was told; where that fails, says why, and nothing else is lost."""
    from elad.report.plots import plot

    try:
        plot(told, arms, target)
    except Exception as error:  # whatever a library of plots may come to
        reason = str(error) if isinstance(error, EladError) else f"{target}: {type(error).__name__}: {error}"
        err.print(f"no plot was written: {reason}", highlight=False, markup=False)
        return False
    told["plot"] = str(target)
    err.print(f"plot: {target}", highlight=False, markup=False)
    return True


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
    for reason in told["left_out"]:
        out.print(f"left out: {reason}", highlight=False, markup=False)
    out.print(arms_table(told))
