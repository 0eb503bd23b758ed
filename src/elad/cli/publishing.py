"""`elad push`: a trained student, for others to use."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from elad.cli.common import AsJson, Run, app, out, print_json


@app.command()
def push(
    folder: Run,
    target: Annotated[Path | None, typer.Option("--out", help="Model folder; DIR/release/round-N by default.")] = None,
    which: Annotated[
        str, typer.Option("--round", help="last, best (by held-out accuracy), or the number of a round.")
    ] = "last",
    weights: Annotated[
        Literal["merged", "adapter"], typer.Option(help="All weights in one, or the adapters alone.")
    ] = "merged",
    gguf: Annotated[bool, typer.Option("--gguf", help="A GGUF file too, by llama.cpp's script on the PATH.")] = False,
    repo: Annotated[
        str | None, typer.Option(help="Upload to this repository of the hub, with the token in HF_TOKEN.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="For all to see, where the repository is new.")] = False,
    as_json: AsJson = False,
) -> None:
    """Writes a trained student as a model folder with a card; uploads it where a --repo is given, and only then."""
    from elad.report.hub import Upload
    from elad.report.release import Wanted, release

    upload = Upload.of(repo, public=public) if repo is not None else None
    made = release(folder, target, Wanted(which=which, adapter=weights == "adapter", gguf=gguf))
    address = upload.send(made) if upload else None
    if as_json:
        told = {"folder": str(made.folder), "round": made.round, "accuracy": made.accuracy, "files": list(made.files)}
        print_json(told | {"kept": made.kept, "repo": address})
        return
    kept = ", as it was" if made.kept else ""
    out.print(f"round {made.round}, accuracy {made.accuracy:.1%}: {made.folder}{kept}", highlight=False, markup=False)
    out.print(f"uploaded to {address}" if address else "nothing was uploaded", highlight=False, markup=False)
