"""Verbs that start or resume work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elad.cli.common import (
    AsJson,
    Described,
    Folder,
    Overrides,
    Run,
    app,
    err,
    out,
    print_json,
    resumable,
    teacher_settings,
)

if TYPE_CHECKING:
    from elad.experiment import Experiment


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
    experiment: Described,
    folder: Folder = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Runs an experiment; the same command again resumes it."""
    from elad.methods.finding import find

    ready = find(experiment, overrides or [])
    _run(ready, folder or Path("runs") / ready.name, as_json=as_json)


@app.command()
def replay(
    source: Run,
    folder: Annotated[Path | None, typer.Option("--out", help="Folder of the new run; DIR-replay by default.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """A finished run again, offline and free; with --set, other choices on what was bought."""
    from elad.replay import replay as run_again
    from elad.report.console import ConsoleProgress

    target = folder or source.with_name(f"{source.name}-replay")
    with resumable():
        unknown = run_again(source, target, overrides or [], ConsoleProgress(err)).unknown
    _show(target, as_json=as_json, unknown=list(unknown))
    if unknown and not as_json:
        out.print(f"never bought, so unknown: {', '.join(unknown)}", highlight=False, markup=False)


def _run(experiment: "Experiment", folder: Path, *, as_json: bool) -> None:
    from elad.loop import run as run_loop
    from elad.report.console import ConsoleProgress

    plan_first(experiment, folder)
    with resumable():
        run_loop(experiment, folder, ConsoleProgress(err))
    _show(folder, as_json=as_json)


def plan_first(experiment: "Experiment", folder: Path) -> None:
    """Says what a teacher that takes money or time will take, and keeps it beside the ledger, for `elad status`."""
    from elad.plan.plan import keep, plan

    takes = any(getattr(experiment.teacher, name, None) for name in ("price", "concurrency"))
    if not (takes and experiment.reviser.needs) or (folder / "ledger.sqlite").exists():
        return
    found = plan(experiment)
    calls, money, seconds = found.wanted.calls, found.wanted.money, found.wanted.seconds
    parts = [f"{money.p10:.4f} to {money.p90:.4f} {found.currency}"] if found.priced else []
    parts += [f"{calls.p10:.0f} to {calls.p90:.0f} calls", f"{seconds.p10:.0f} to {seconds.p90:.0f} s of waiting"]
    err.print(f"forecast: {', '.join(parts)} for {found.wanted.questions} questions", highlight=False)
    keep(found, folder)


def _show(folder: Path, *, as_json: bool, **more: Any) -> None:
    from elad.report.status import control_tables, round_table
    from elad.report.status import status as read_status

    told = read_status(folder) | {"folder": str(folder)} | more
    if as_json:
        print_json(told)
        return
    out.print(round_table(told))
    for part in control_tables(told):
        out.print(part, highlight=False, markup=False)
    out.print(f"run folder: {folder}", highlight=False)
