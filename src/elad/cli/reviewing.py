"""`elad review`: a run in the browser."""

import getpass
from typing import Annotated

import typer

from elad.cli.common import Run, app, err, out
from elad.errors import InputError

_MOST_NAME = 60


@app.command()
def review(
    folder: Run,
    reviewers: Annotated[
        list[str] | None, typer.Option("--as", help="Name of a reviewer, your own by default; each gets a link.")
    ] = None,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8642,
    host: Annotated[str, typer.Option(help="Where to listen, if not on this machine alone.")] = "127.0.0.1",
) -> None:
    """Serves a page to watch a run, look at its questions, and accept, reject or edit what the teacher made of them.

    Each link lets one reviewer in, once. Everything that is saved goes into the run's ledger.
    """
    try:
        from elad.web.serving import serve
    except ModuleNotFoundError as error:
        raise InputError(f"elad review needs the package {error.name!r}: pip install 'elad[web]'") from error
    names = reviewers or [_user()]
    for name in names:
        if not (name.isprintable() and 0 < len(name.strip()) <= _MOST_NAME):
            raise InputError(f"--as {name!r}: expected a name of 1 to {_MOST_NAME} printable characters")
    if len(set(names)) < len(names):
        raise InputError("--as: two reviewers have the same name")

    def tell(reviewer: str, link: str) -> None:
        out.print(f"{reviewer}: {link}", highlight=False, markup=False, soft_wrap=True)

    if host != "127.0.0.1":
        err.print(
            f"listening on {host}: whoever reads what goes over the wire can take part; use a tunnel", style="yellow"
        )
    serve(folder, names, host=host, port=port, tell=tell)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return "reviewer"
