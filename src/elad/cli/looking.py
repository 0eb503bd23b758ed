"""Verbs that look at runs, data and what is known."""

from pathlib import Path
from typing import Annotated

import typer

from elad.cli.common import AsJson, Run, app, out, print_json, print_rows, print_spent
from elad.errors import InputError


@app.command()
def status(folder: Run, as_json: AsJson = False) -> None:
    """Where a run is, what it measured and what it spent."""
    from elad.report.status import calibration_table, control_tables, forecast_line, outcome_table, round_table
    from elad.report.status import status as read_status

    told = read_status(folder)
    if as_json:
        print_json(told)
        return
    out.print(round_table(told))
    for part in control_tables(told):
        out.print(part, highlight=False, markup=False)
    if calibrated := calibration_table(told):
        out.print(calibrated)
    out.print(outcome_table(told))
    print_spent(told["spent"])
    if line := forecast_line(told):
        out.print(line, highlight=False)


@app.command()
def report(
    folder: Run,
    to: Annotated[str, typer.Option("--format", help="html, md or json.")] = "html",
    target: Annotated[Path | None, typer.Option("--out", help="File to write; DIR/report.html by default.")] = None,
) -> None:
    """Writes what a run did, bought and showed: one page that needs no network, Markdown, or JSON."""
    from elad.report.report import write

    path = target or folder / f"report.{to}"
    write(folder, to, path)
    out.print(f"report: {path}", highlight=False, markup=False)


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
        print_json(to_json(books))
    else:
        counts = ("requests", "replies", "cached", "lost", "revisions")
        out.print(", ".join(f"{getattr(books, name)} {name}" for name in counts), highlight=False)
        print_spent(to_json(books.spent))
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
        print_json(to_json(found))
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
    print_rows(rows, as_json=as_json)


@app.command()
def methods(as_json: AsJson = False) -> None:
    """Methods that `elad run` knows, read from their cards."""
    from elad.methods.finding import cards

    print_rows(cards(), as_json=as_json)


@app.command()
def export(
    folder: Run,
    to: Annotated[str, typer.Option(help="messages, preference, stepwise, parquet, datasets or argilla.")] = "messages",
    target: Annotated[
        Path | None, typer.Option("--out", help="File or folder to write; a place in DIR by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes what was bought in the columns that TRL's trainers take, or for other tools."""
    from elad.report.export import default_place
    from elad.report.export import export as write

    path = target or default_place(folder, to)
    rows = write(folder, to, path)
    if as_json:
        print_json({"file": str(path), "rows": rows})
    else:
        out.print(f"{rows} rows in {path}", highlight=False)
