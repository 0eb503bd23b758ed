"""What the verbs share: the application, the two consoles, options, and ways to print."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from elad.errors import InputError

app = typer.Typer(
    name="elad",
    help="Explanation-guided active distillation under a budget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override one key: key.key=value.")]
Folder = Annotated[Path | None, typer.Option("--out", help="Run folder; the same folder again resumes.")]
Run = Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")]
Described = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="A YAML file, a method's name, or module:function.")
]


@contextmanager
def resumable() -> Generator[None]:
    """Inside the block, Ctrl-C says how to go on. The exit status 130 is typer's, which hides it from the caller."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to go on", highlight=False)
        raise


def teacher_settings(spec: str) -> dict[str, str]:
    """The settings of a teacher given as URL#model. Raises: InputError on another form."""
    url, mark, model = spec.rpartition("#")
    if not mark or not url or not model:
        raise InputError(f"--teacher {spec}: expected URL#model")
    return {"kind": "openai", "base_url": url, "model": model}


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_rows(rows: list[dict[str, str]], *, as_json: bool) -> None:
    """Rows of equal keys as a table, or as JSON."""
    if as_json:
        print_json(rows)
        return
    table = Table()
    for head in rows[0]:
        table.add_column(head)
    for row in rows:
        table.add_row(*(escape(value) for value in row.values()))
    out.print(table)


def print_spent(spent: dict[str, Any]) -> None:
    """One line of what a teacher took."""
    out.print(
        f"spent: {spent['calls']} calls, {spent['tokens_in']} + {spent['tokens_out']} tokens, "
        f"{spent['money']:.4f} {spent['currency'] or ''} in {spent['seconds']:.0f} s",
        highlight=False,
    )
