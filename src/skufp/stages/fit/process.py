"""`python -m skufp.stages.fit.process FOLDER PARENT`: a further process of a fit, started by skufp.compute."""

import sys
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from skufp.artifacts.folder import read_json
from skufp.compute.fit_processes import FOUND, end_with_parent, meeting_at


def take_part(folder: Path) -> None:
    """Run this process's part of the fit described in the ``folder`` of a job; write nothing."""
    from skufp.stages import fit

    cfg: Any = OmegaConf.load(folder / "config.yaml")
    job = read_json(folder / FOUND)
    resume = Path(job["resume"]) if job["resume"] else None
    with meeting_at(job["port"]):
        fit.take_part(cfg, job["inputs"], folder, resume)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[2]))
    take_part(Path(sys.argv[1]))
