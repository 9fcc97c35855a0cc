"""`python -m skufp`: compose the configuration, check it, make it read-only and hand it to the pipeline."""

import os
import sys
from pathlib import Path
from typing import cast

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from skufp.arguments import understood
from skufp.composition import check_composition
from skufp.errors import UserError
from skufp.output import PlainConsole, styled
from skufp.resolve import resolved
from skufp.schema import Config, register_schema
from skufp.shipped import config_folder


class Experiments(SearchPathPlugin):
    """Puts a checkout's experiments/ folder on Hydra's search path, so that its sweeps go by --config-name."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder, if there is one."""
        folder = config_folder().parent / "experiments"
        if folder.is_dir():
            search_path.append("experiments", f"file://{folder}")


def run(cfg: DictConfig) -> None:
    """Run one composed job."""
    from skufp.artifacts.folder import write_json
    from skufp.pipeline import execute

    console = PlainConsole()
    threads = str(cfg.threads or os.cpu_count() or 1)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, threads)  # before torch is imported by a stage
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # hides DDP's warning on unused parameters
    try:
        cfg = resolved(cfg)
        OmegaConf.set_readonly(cfg, True)
        folder = execute(cast(Config, cfg), console)
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        line = styled(("interrupted", "yellow"), ": the same command goes on where this one stopped")
        PlainConsole(stderr=True).print(line)
        raise SystemExit(130) from None
    job = HydraConfig.get()
    if job.mode == RunMode.MULTIRUN:
        sweep = Path(job.sweep.dir)
        sweep.mkdir(parents=True, exist_ok=True)
        result = {
            "sweep": job.job.config_name, "overrides": list(job.overrides.task), "stage": cfg.stage,
            "data": cfg.data.label, "folder": str(folder.resolve()),
        }  # fmt: skip
        write_json(sweep / f"job-{job.job.num:03d}.json", result)


def fail(error: UserError) -> None:
    """Print the error as a line and exit with code 2."""
    PlainConsole(stderr=True).print(styled(("error:", "bold red"), f" {error}"), soft_wrap=True)
    raise SystemExit(2)


def is_setting(argument: str) -> bool:
    """Return whether an argument sets or removes a setting of this project, and is not an option of Hydra."""
    return not argument.startswith(("-", "hydra", "+hydra", "~hydra"))


def main() -> None:
    """Entry point of `python -m skufp` and of the `skufp` command."""
    try:
        register_schema()
        Plugins.instance().register(Experiments)
        arguments = understood(sys.argv[1:])
        if not {"--help", "-h", "--hydra-help", "--version", "--info", "-i"} & set(arguments):
            cfg = check_composition(arguments)
            if all(is_setting(argument) for argument in arguments):
                run(cfg)  # Hydra would compose it twice more
                return
        folder = config_folder()
    except UserError as error:
        fail(error)
    GlobalHydra.instance().clear()
    sys.argv[1:] = arguments
    hydra.main(config_path=str(folder), config_name="config", version_base="1.3")(run)()


if __name__ == "__main__":
    main()
