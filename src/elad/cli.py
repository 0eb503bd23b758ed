"""The command line: thin verbs, heavy imports inside them."""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from elad.errors import EladError, InputError

app = typer.Typer(
    name="elad",
    help="Explanation-guided active distillation under a budget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)
evaluations = typer.Typer(help="Measures parts of the system on data with known answers.", no_args_is_help=True)
app.add_typer(evaluations, name="eval")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override one key: key.key=value.")]
Folder = Annotated[Path | None, typer.Option("--out", help="Run folder; the same folder again resumes.")]
Run = Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")]


def main() -> None:
    """Runs a verb; turns errors into one line and the exit status of their kind."""
    sys.path.insert(0, "")  # `module:function` and kinds of one's own are looked for in the working folder too
    try:
        app()
    except EladError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except (OSError, sqlite3.Error) as error:
        err.print(f"[bold red]error:[/] {escape(f'{type(error).__name__}: {error}')}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to go on", highlight=False)
        sys.exit(130)


@app.command()
def demo(
    teacher: Annotated[
        str | None,
        typer.Option(help="A real teacher, as URL#model; without one, reference solutions repair."),
    ] = None,
    folder: Folder = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """The main job on the packaged sample: draft, score, repair, learn, measure; two rounds."""
    from elad.methods.elad import experiment

    ready, name = experiment().but(name="demo"), "demo"
    if teacher is not None:
        reviser = {"kind": "first_error", "judge": "rollout", "repair": "blind"}
        ready, name = ready.but(teacher=teacher_settings(teacher), reviser=reviser), "demo-teacher"
    _run(ready.but(overrides or []), folder or Path("runs") / name, as_json=as_json)


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="A YAML file, a method's name, or module:function.")],
    folder: Folder = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Runs an experiment; the same command again resumes it."""
    from elad.methods.finding import find

    ready = find(experiment, overrides or [])
    _run(ready, folder or Path("runs") / ready.name, as_json=as_json)


@app.command()
def status(folder: Run, as_json: AsJson = False) -> None:
    """Where a run is, what it measured and what it spent."""
    from elad.report.status import outcome_table, round_table
    from elad.report.status import status as read_status

    told = read_status(folder)
    if as_json:
        _print_json(told)
        return
    out.print(round_table(told))
    out.print(outcome_table(told))
    _print_spent(told["spent"])


@app.command()
def ledger(
    folder: Run,
    check: Annotated[bool, typer.Option("--check", help="Fail when the books do not add up.")] = False,
    as_json: AsJson = False,
) -> None:
    """Reconciles requests, replies, charges and revisions of a run."""
    from elad.errors import RunFolderError
    from elad.ledger.events import Ledger
    from elad.ledger.reconcile import reconcile
    from elad.records import to_json

    with Ledger(folder, write=False) as opened:
        books = reconcile(opened)
    if as_json:
        _print_json(to_json(books))
    else:
        counts = ("requests", "replies", "cached", "lost", "revisions")
        out.print(", ".join(f"{getattr(books, name)} {name}" for name in counts), highlight=False)
        _print_spent(to_json(books.spent))
        for name in ("open", "unused", "problems"):
            for item in getattr(books, name):
                out.print(f"{name}: {item}", highlight=False, markup=False)
    if check and books.problems:
        raise RunFolderError(f"{folder}: {len(books.problems)} problems, the first: {books.problems[0]}")


@app.command()
def validate(
    data: Annotated[list[str], typer.Argument(help="Question files, or datasets:NAME[:CONFIG[:SPLIT]].")],
    kind: Annotated[str | None, typer.Option(help="numeric, choice or text; guessed when left out.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="Column mapping: ours=theirs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Proves that every gold answer grades as correct and a wrong one as wrong."""
    from elad.kinds import build
    from elad.records import to_json
    from elad.tasks.reading import read
    from elad.tasks.validate import kind_of
    from elad.tasks.validate import validate as check

    pairs = [item.partition("=") for item in column or []]
    if any(not mark for _, mark, _ in pairs):
        raise InputError("--column: expected ours=theirs")
    problems = read(data, columns={ours: theirs for ours, _, theirs in pairs}, limit=None, base=Path())
    found = check(problems, build("elad.tasks", kind or kind_of(problems), "task"))
    if as_json:
        _print_json(to_json(found))
    else:
        out.print(f"{found.rows} rows, {found.graded_correct} gold answers grade as correct", highlight=False)
        for fault in found.problems[:20]:
            out.print(f"  {fault.id}: {fault.what}", highlight=False, markup=False)
    if found.problems:
        raise InputError(f"{len(found.problems)} of {found.rows} rows cannot be graded as they stand")


@app.command()
def models(as_json: AsJson = False) -> None:
    """Models with a short name, and where each would come from now."""
    from elad.students.models import KNOWN, where

    rows = [{"name": name, "about": it.about, "hub": it.hub, "where": where(name)} for name, it in KNOWN.items()]
    _print_rows(rows, as_json=as_json)


@app.command()
def methods(as_json: AsJson = False) -> None:
    """Methods that `elad run` knows, read from their cards."""
    from elad.methods.finding import cards

    _print_rows(cards(), as_json=as_json)


@app.command()
def export(
    folder: Run,
    to: Annotated[str, typer.Option(help="messages, preference or stepwise.")] = "messages",
    target: Annotated[Path | None, typer.Option("--out", help="File to write; DIR/<format>.jsonl by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Writes what was bought in the columns that TRL's trainers take."""
    from elad.report.export import export as write

    path = target or folder / f"{to}.jsonl"
    rows = write(folder, to, path)
    if as_json:
        _print_json({"file": str(path), "rows": rows})
    else:
        out.print(f"{rows} rows in {path}", highlight=False)


@evaluations.command("steps")
def eval_steps(
    data: Annotated[list[str], typer.Argument(help="Files of chains with `steps` and `first_error`.")],
    teacher: Annotated[str, typer.Option(help="`reference`, or URL#model.")] = "reference",
    judge: Annotated[str, typer.Option(help="direct, compare, rollout or stepwise.")] = "direct",
    references: Annotated[list[str] | None, typer.Option(help="Question files that give answer and rationale.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Judge a seeded, balanced sample of so many rows.")] = None,
    seed: int = 0,
    folder: Annotated[Path, typer.Option("--out", help="Replies are kept here and reused.")] = Path("runs/eval-steps"),
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
        folder=folder,
        progress=ConsoleProgress(err),
    )
    if as_json:
        _print_json(told)
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


def _print_spent(spent: dict[str, Any]) -> None:
    out.print(
        f"spent: {spent['calls']} calls, {spent['tokens_in']} + {spent['tokens_out']} tokens, "
        f"{spent['money']:.4f} {spent['currency'] or ''} in {spent['seconds']:.0f} s",
        highlight=False,
    )


def teacher_settings(spec: str) -> dict[str, str]:
    """The settings of a teacher given as URL#model. Raises: InputError on another form."""
    url, mark, model = spec.rpartition("#")
    if not mark or not url or not model:
        raise InputError(f"--teacher {spec}: expected URL#model")
    return {"kind": "openai", "base_url": url, "model": model}


def _run(experiment: Any, folder: Path, *, as_json: bool) -> None:
    from elad.loop import run as run_loop
    from elad.report.console import ConsoleProgress
    from elad.report.status import round_table
    from elad.report.status import status as read_status

    run_loop(experiment, folder, ConsoleProgress(err))
    told = read_status(folder) | {"folder": str(folder)}
    if as_json:
        _print_json(told)
        return
    out.print(round_table(told))
    out.print(f"run folder: {folder}", highlight=False)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_rows(rows: list[dict[str, str]], *, as_json: bool) -> None:
    if as_json:
        _print_json(rows)
        return
    table = Table()
    for head in rows[0]:
        table.add_column(head)
    for row in rows:
        table.add_row(*(escape(value) for value in row.values()))
    out.print(table)


if __name__ == "__main__":
    main()
