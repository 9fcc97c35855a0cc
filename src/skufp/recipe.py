"""run(): a stage from Python, as the command line runs it."""

import multiprocessing
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from skufp.composition import composed
from skufp.errors import UserError
from skufp.output import PlainConsole
from skufp.pipeline import execute
from skufp.resolve import resolved


def run(stage: str, overrides: Sequence[str] = ()) -> Path:
    """Run ``stage`` and the stages before it that are not finished; return its folder.

    ``overrides`` are settings as on the command line: ``["data=folder", "data.root=photos/", "trainer=cpu"]``. The
    folders are the command line's too: what one has finished, the other does not repeat. Stages start processes, which
    import the script that calls run(): keep the call below ``if __name__ == "__main__":``. Raises UserError where that
    line is missing, and for settings that mean nothing, before anything runs.
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
    return execute(cfg, PlainConsole())
