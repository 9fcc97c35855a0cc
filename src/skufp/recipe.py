"""run(): a stage from Python, as the command line runs it."""

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
    folders are the command line's too: what one has finished, the other does not repeat. Raises UserError for settings
    that mean nothing, before anything runs.
    """
    for override in overrides:
        if override.startswith("-") or "=" not in override:
            raise UserError(f"overrides: '{override}' is no setting: write name=value, as in 'data.root=photos/'")
        if override.partition("=")[0] == "stage":
            raise UserError(f"overrides: '{override}': give the stage as the first argument, run(\"{stage}\", …)")
    cfg = resolved(composed([f"stage={stage}", *overrides]))
    OmegaConf.set_readonly(cfg, True)
    return execute(cfg, PlainConsole())
