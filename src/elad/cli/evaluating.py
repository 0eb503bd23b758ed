"""`elad eval`: parts of the system, measured on data with known answers."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from elad.cli.common import AsJson, app, err, out, print_json, teacher_settings


class _ModelByItself(TyperGroup):
    """Takes a first word that names nothing to be measured for a model: `elad eval MODEL --tasks ...`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        named = args and args[0] in self.commands
        return super().resolve_command(ctx, args if named else ["model", *args])


evaluations = typer.Typer(
    help="Measures parts of the system on data with known answers, and models: `elad eval MODEL --tasks ...`.",
    no_args_is_help=True,
    cls=_ModelByItself,
)
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


@evaluations.command("model")
def eval_model(
    model: Annotated[str, typer.Argument(help="A run folder, a model folder, a name of `elad models`, or a hub id.")],
    tasks: Annotated[str, typer.Option(help="Names of tasks, with commas between them.")],
    include: Annotated[
        Path | None, typer.Option(help="A folder of task files, in place of the harness's own tasks.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions of each task, at most.")] = None,
    few_shot: Annotated[int | None, typer.Option(min=0, help="Examples before each question.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Put questions in the model's chat template.")] = False,
    as_json: AsJson = False,
) -> None:
    """What a model comes to on the tasks of lm-evaluation-harness."""
    from elad.evaluation.harness import Asked, run_tasks

    names = [name.strip() for name in tasks.split(",")]
    told = run_tasks(model, Asked(tasks=names, folder=include, limit=limit, few_shot=few_shot, chat=chat))
    if as_json:
        print_json(told)
        return
    table = Table(title=f"{escape(model)}, lm-evaluation-harness {told['harness']}", title_justify="left")
    for head in ("task", "metric", "questions", "value", "95 % interval"):
        table.add_column(head)
    for row in told["tasks"]:
        interval = "not given" if row["interval"] is None else f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}"
        metric = row["metric"] if row["filter"] == "none" else f"{row['metric']} ({row['filter']})"
        table.add_row(escape(row["task"]), escape(metric), str(row["questions"]), f"{row['value']:.3f}", interval)
    out.print(table)
