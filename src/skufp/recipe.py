"""run(): a stage from Python, as the command line runs it."""

import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from omegaconf import OmegaConf

from skufp.composition import composed
from skufp.errors import UserError
from skufp.output import PlainConsole
from skufp.pipeline import execute
from skufp.resolve import resolved
from skufp.schema import Config


def run(stage: str, overrides: Sequence[str] = ()) -> Path:
    """Run ``stage`` and the stages before it that are not finished; return its folder.

    ``overrides`` are settings as on the command line: ``["data=folder", "data.root=photos/", "trainer=cpu"]``. The
    command line uses the same folders, so that a finished stage is not repeated. Stages start processes, which import
    the script that calls run(): keep the call below ``if __name__ == "__main__":``. Raises UserError, before anything
    runs, if that line is missing and for invalid settings.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # this process is still importing the script
        raise UserError('skufp.run() was called while a process of its own started: put the call below\n'
                        '    if __name__ == "__main__":')  # fmt: skip
    for override in overrides:
        if override.startswith("-") or "=" not in override:
            raise UserError(f"overrides: '{override}' is no setting: write name=value, as in 'data.root=photos/'")
        if override.partition("=")[0] == "stage":
            raise UserError(f"overrides: '{override}': give the stage as the first argument, run(\"{stage}\", …)")
    cfg = resolved(composed([f"stage={stage}", *overrides]))
    OmegaConf.set_readonly(cfg, True)
    return execute(cast(Config, cfg), PlainConsole())
