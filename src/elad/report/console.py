"""Progress in a terminal: round, stage, rate and time left."""

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from elad.progress import Advance


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")


class ConsoleProgress:
    """A bar for the stage under way; plain lines where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, round: int, name: str, total: int) -> Generator[Advance]:
        """Shows one stage of `total` items until it is left."""
        bar = Progress(
            TextColumn("round {task.fields[number]}  {task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with bar:
            task = bar.add_task(name, total=total, number=round)
            yield lambda count: bar.advance(task, count)
            seconds = bar.tasks[0].elapsed or 0.0
        if seconds >= 1:
            self.console.print(f"round {round}  {name:<12} {total:>6}  {seconds:7.1f} s", highlight=False)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self.console.print(text, style="yellow", markup=False, highlight=False)
