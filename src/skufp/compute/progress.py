"""Progress bars and process counts, by the run's settings."""

import os
from collections.abc import Callable

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from skufp.output import PlainConsole
from skufp.schema import Config


def worker_count(cfg: Config) -> int:
    """Return cfg.workers, or one process per core."""
    return int(cfg.workers) if cfg.workers is not None else (os.cpu_count() or 1)


class Rate(ProgressColumn):
    """The rate per minute."""

    def render(self, task: Task) -> Text:
        """Return the rate; empty before it is known."""
        return Text("" if task.speed is None else f"{60 * task.speed:,.0f}/min", style="progress.data.speed")


class ProgressBar:
    """A rich progress bar, optionally with its rate, as a context that yields advance(n)."""

    def __init__(self, cfg: Config, label: str, total: int, rate: bool = False) -> None:
        shown = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        columns = (*shown, *((Rate(),) if rate else ()), TimeElapsedColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=PlainConsole(), disable=not cfg.progress, transient=True)
        self.task = self.progress.add_task(label, total=total)

    def __enter__(self) -> Callable[[int], None]:
        self.progress.start()
        return lambda count: self.progress.advance(self.task, count)

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()
