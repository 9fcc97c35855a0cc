"""Progress bars and process counts, as the run's settings ask."""

import os
from collections.abc import Callable

from omegaconf import DictConfig
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


def worker_count(cfg: DictConfig) -> int:
    """Return cfg.workers, or one process a core."""
    return int(cfg.workers) if cfg.workers is not None else (os.cpu_count() or 1)


class Rate(ProgressColumn):
    """How many are done a minute."""

    def render(self, task: Task) -> Text:
        """Return the rate; nothing before there is one."""
        return Text("" if task.speed is None else f"{60 * task.speed:,.0f}/min", style="progress.data.speed")


class ProgressBar:
    """A rich progress bar, with its rate if asked for, as a context that yields advance(n)."""

    def __init__(self, cfg: DictConfig, label: str, total: int, rate: bool = False) -> None:
        shown = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        columns = (*shown, *((Rate(),) if rate else ()), TimeElapsedColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=PlainConsole(), disable=not cfg.progress, transient=True)
        self.task = self.progress.add_task(label, total=total)

    def __enter__(self) -> Callable[[int], None]:
        self.progress.start()
        return lambda count: self.progress.advance(self.task, count)

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()
