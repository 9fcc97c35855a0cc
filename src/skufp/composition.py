"""Composing the configuration from conf/ and overrides, with mistakes explained before anything runs."""

import re

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from skufp.arguments import FLAGS_WITH_VALUE, understood
from skufp.config import check_keys, check_stages, check_targets, plain
from skufp.errors import UserError, nearest
from skufp.schema import Config, register_schema
from skufp.shipped import config_folder


def composed(overrides: list[str]) -> DictConfig:
    """Return the checked configuration of one run, as the command line with these overrides would compose it."""
    register_schema()
    return check_composition(understood(overrides))


def check_composition(arguments: list[str]) -> DictConfig:
    """Compose every value of a sweep separately, so that mistakes are reported before anything runs.

    Returns the first composition, the only one without a sweep. Its overrides are in ``HydraConfig``, as in a job that
    Hydra starts. Raises UserError.
    """
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
        if not {"-m", "--multirun"} & set(arguments):
            refuse_sweeps(overrides)
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            first, *_ = [_checked(name, choice) for choice in _without_sweeps(overrides)]
            return first
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error


def _checked(name: str, overrides: list[str]) -> DictConfig:
    """Compose once and check the names in it."""
    cfg = compose(name, overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    settings = plain(cfg)  # resolves, and so fails for invalid interpolations
    check_keys(cfg, Config)
    if cfg.stage not in cfg.stages:
        raise UserError(f"There is no stage '{cfg.stage}'.{nearest(cfg.stage, list(cfg.stages))}")
    check_stages(settings["stages"])
    for section, values in settings.items():
        check_targets(values, str(section))
    return cfg


def refuse_sweeps(overrides: list[str]) -> None:
    """Raise UserError for several values of one setting outside a sweep."""
    parser = OverridesParser.create()
    for text in overrides:
        if parser.parse_override(text).is_sweep_override():
            name, _, values = text.partition("=")
            raise UserError(
                f"{text}: these are several values. Add -m to run once for each of them, or write {name}=[{values}] for"
                " one list"
            )


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
    """Return a composition error in a line or two, with the nearest valid key or choice."""
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
    """Return the names of settings under the dotted key ``parent``, "" for the top level; none if it does not exist."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("config")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return [str(key) for key in node] if isinstance(node, DictConfig) else []
