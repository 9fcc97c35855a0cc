"""The location of skufp's configuration files."""

import os
from pathlib import Path

from skufp.errors import UserError


def config_folder() -> Path:
    """Return the folder that holds config.yaml: $SKUFP_CONF, the checkout's conf/, or the wheel's own."""
    if chosen := os.environ.get("SKUFP_CONF"):
        folder = Path(chosen).resolve()
        if not (folder / "config.yaml").is_file():
            raise UserError(f"SKUFP_CONF={chosen}: there is no config.yaml in that folder")
        return folder
    package = Path(__file__).resolve().parent
    # An editable install can leave a stale copy beside the package: the checkout's own comes first.
    for folder in (package.parent.parent / "conf", package / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise UserError("conf/config.yaml was not found: reinstall skufp, or set SKUFP_CONF to its folder")
