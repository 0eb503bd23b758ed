"""`elad eval`: parts of the system, measured on data with known answers."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from elad.cli.common import AsJson, app, err, out, print_json, teacher_settings

evaluations = typer.Typer(help="Measures parts of the system on data with known answers.", no_args_is_help=True)
app.add_typer(evaluations, name="eval")


@evaluations.command("steps")
def eval_steps(
    data: Annotated[list[str], typer.Argument(help="Files of chains with `steps` and `first_error`.")],
    teacher: Annotated[str, typer.Option(help="`reference`, or URL#model.")] = "reference",
    judge: Annotated[str, typer.Option(help="direct, compare, rollout or stepwise.")] = "direct",
    references: Annotated[list[str] | None, typer.Option(help="Question files that give answer and rationale.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Judge a seeded, balanced sample of so many rows.")] = None,
    seed: int = 0,
    folder: Annotated[Path, typer.Option("--out", help="Keeps a paid teacher's replies.")] = Path("runs/eval-steps"),
    as_json: AsJson = False,
) -> None:
    """How well a teacher finds the first wrong step, against step labels that people made."""
    from elad.evaluation.step_finding import find_steps
    from elad.report.console import ConsoleProgress

    settings = teacher_settings(teacher) if teacher != "reference" else "reference"
    told = find_steps(
        data,
        settings,
        judge,
        references or [],
        limit=limit,
        seed=seed,
        folder=None if teacher == "reference" else folder,
        progress=ConsoleProgress(err),
    )
    if as_json:
        print_json(told)
        return
    table = Table(title=f"{told['teacher']}, judge {judge}", title_justify="left")
    for head in ("chains", "n", "accuracy", "95 % interval"):
        table.add_column(head)
    for name in ("wrong", "right"):
        part = told[name]
        if part["n"]:
            low, high = part["interval"]
            table.add_row(name, str(part["n"]), f"{part['accuracy']:.1%}", f"{low:.1%} - {high:.1%}")
    out.print(table)
    f1 = "needs wrong and right chains" if told["f1"] is None else f"{told['f1']:.3f}"
    gold = "the gold answer was known" if told["uses_gold"] else "without the gold answer"
    out.print(f"F1 {f1}, {gold}; {told['calls']} calls, {told['tokens_out']} tokens out")
    out.print(f"{told['left_out']} rows without a gold answer were left out")
