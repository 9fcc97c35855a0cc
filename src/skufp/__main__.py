"""`python -m skufp`: compose the configuration, check it, make it read-only and hand it to the pipeline."""

import os
import re
import sys
from pathlib import Path

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from skufp.arguments import FLAGS_WITH_VALUE, understood
from skufp.config import check_keys, check_stages, check_targets, plain
from skufp.errors import UserError, nearest
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


def check_composition(arguments: list[str]) -> None:
    """Compose once (every value of a sweep on its own) so that mistakes are told before anything runs."""
    name = "config"
    overrides, rest = [], iter(arguments)
    for argument in rest:
        if argument in ("--config-name", "-cn"):
            name = next(rest, name)
        elif argument.startswith(("--config-name=", "-cn=")):
            name = argument.partition("=")[2]
        elif argument in FLAGS_WITH_VALUE:
            next(rest, None)
        elif not argument.startswith("-") and "=" in argument.replace("~", "="):
            overrides.append(argument)
        elif not argument.startswith("-") and argument not in ("job", "hydra", "all"):
            raise UserError(f"'{argument}' is not understood: settings are written name=value, as in stage=search")
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            for choice in _without_sweeps(overrides):
                cfg = compose(name, choice)
                plain(cfg)  # resolves, and so finds interpolations of nothing
                check_keys(cfg, Config)
                if cfg.stage not in cfg.stages:
                    raise UserError(f"There is no stage '{cfg.stage}'.{nearest(cfg.stage, list(cfg.stages))}")
                check_stages(plain(cfg.stages))
                for section in cfg:
                    check_targets(plain(cfg[section]), str(section))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error


def _without_sweeps(overrides: list[str]) -> list[list[str]]:
    """Return override lists to compose: the first value of every sweep, then each other value by itself."""
    parser = OverridesParser.create()
    parsed = [(text, parser.parse_override(text)) for text in overrides]
    choices = [
        [f"{o.get_key_element()}={v}" for v in o.sweep_string_iterator()] if o.is_sweep_override() else [t]
        for t, o in parsed
    ]
    first = [c[0] for c in choices]
    return [first] + [[*first[:i], v, *first[i + 1 :]] for i, c in enumerate(choices) for v in c[1:]]


def explain(error: Exception) -> str:
    """Say in a line or two what a composition error is about and name the nearest valid key or choice."""
    text = str(error)
    if match := re.search(r"Could not find '([^']+)/([^'/]+)'", text):
        group = config_folder() / match[1]
        if group.is_dir():
            choices = [path.stem for path in group.glob("*.yaml")]
            return f"{match[1]}={match[2]}: there is no such choice.{nearest(match[2], choices)}"
    if match := re.search(r"Cannot find primary config '([^']+)'", text):
        sweeps = [path.stem for path in (config_folder().parent / "experiments").glob("*.yaml")]
        return f"--config-name {match[1]}: there is no such sweep.{nearest(match[1], sweeps)}"
    if match := re.search(r"Key '([^']+)' (?:is )?not in ", text):
        full = re.search(r"full_key: (\S+)", text)
        where = full[1] if full else match[1]
        parent = where[: where.index(match[1])].rstrip(".")
        return f"There is no setting '{where}'.{nearest(match[1], _settings(parent) or _settings(''))}"
    if match := re.search(r"Could not override '([^']+)'", text):
        parent, _, key = match[1].rpartition(".")
        while not (known := _settings(parent)):  # it may be wrong further up
            parent, _, key = parent.rpartition(".")
        return f"There is no setting '{match[1]}'.{nearest(key, known)}"
    return text.strip().split("\nSee https")[0]


def _settings(parent: str) -> list[str]:
    """Names of the settings under the dotted key ``parent``, "" for the top level; none where it names nothing."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("config")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return [str(key) for key in node] if isinstance(node, DictConfig) else []


def run(cfg: DictConfig) -> None:
    """Run one composed job."""
    from skufp.artifacts.folder import write_json
    from skufp.pipeline import execute

    console = PlainConsole()
    threads = str(cfg.threads or os.cpu_count() or 1)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, threads)  # before torch is imported by a stage
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP warns that it looks for unused parameters
    try:
        cfg = resolved(cfg)
        OmegaConf.set_readonly(cfg, True)
        folder = execute(cfg, console)
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
    """Print the error as a line and leave with exit code 2."""
    PlainConsole(stderr=True).print(styled(("error:", "bold red"), f" {error}"), soft_wrap=True)
    raise SystemExit(2)


def main() -> None:
    """Entry point of `python -m skufp` and of the `skufp` command."""
    try:
        register_schema()
        Plugins.instance().register(Experiments)
        arguments = understood(sys.argv[1:])
        if not {"--help", "-h", "--hydra-help", "--version", "--info", "-i"} & set(arguments):
            check_composition(arguments)
        folder = config_folder()
    except UserError as error:
        fail(error)
    GlobalHydra.instance().clear()
    sys.argv[1:] = arguments
    hydra.main(config_path=str(folder), config_name="config", version_base="1.3")(run)()


if __name__ == "__main__":
    main()
