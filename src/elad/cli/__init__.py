"""The command line: thin verbs, heavy imports inside them."""

import sqlite3
import sys

from rich.markup import escape

from elad.cli import comparing, evaluating, looking, planning, publishing, reviewing, running, sweeping
from elad.cli.common import app, err
from elad.errors import EladError

__all__ = [
    "app", "comparing", "evaluating", "looking", "main", "planning", "publishing", "reviewing", "running", "sweeping",
]  # fmt: skip


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
