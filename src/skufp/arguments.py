"""Translation of command lines for Hydra: photos and texts, filters, values with any characters, implied settings."""

import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from skufp.errors import UserError
from skufp.targets import LITE, missing_packages

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
PRETRAINED = "lite"  # the default model, which needs the extra of that name
FROM_SCRATCH = "siglip_tiny"  # the one model without pretrained weights
OWN_PHOTOS = ("folder", "catalogue")
QUERY_FLAGS = {"--image": "query.image", "--text": "query.text"}


def understood(arguments: list[str]) -> list[str]:
    """Return command-line ``arguments`` translated for Hydra."""
    return with_implied([literal(argument) for argument in flags_first(translate_arguments(arguments))])


def literal(argument: str) -> str:
    """Quote a setting whose value is text that Hydra's grammar cannot read: a path, an address with {handle}."""
    name, given, value = argument.partition("=")
    if not given or argument.startswith("-") or value[:1] in ("[", "{", "'", '"', ""):
        return argument
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return f"{name}={quote(value)}"
    return argument


def quote(value: str) -> str:
    """Quote any string for Hydra's override grammar (commas, spaces, brackets, backslashes, quotes).

    In that grammar a backslash escapes only before a quote or at the end of the string.
    """
    value = re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + r"\${", value)  # OmegaConf's interpolation stays literal
    escaped = re.sub(r"(\\*)(\"|$)", lambda m: m[1] * 2 + ("\\" if m[2] else "") + m[2], value)
    return f'"{escaped}"'


def translate_arguments(arguments: list[str]) -> list[str]:
    """Turn repeatable `--image PATH` and `--text "…"` into overrides of query.image and query.text.

    Also turn `query.filter.colour=navy blue` into an override that adds a key, since its names come from the data.
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
    """Return the override that adds a filter; its value is text, or a list in brackets."""
    key, value = re.sub(r"\s+", "_", key.strip()), value.strip()
    if key == "query.filter" and value.startswith("{"):
        return f"++{key}={value}"
    if not re.fullmatch(r"query\.filter\.[A-Za-z_][A-Za-z0-9_-]*", key):
        raise UserError(f"'{key}={value}': write query.filter.<field>=<value>, as in query.filter.colour=red")
    return f"++{key}={value if value[:1] in ('[', chr(34), chr(39)) else quote(value)}"


def with_implied(arguments: list[str]) -> list[str]:
    """Add the settings that a command implies.

    stage=views needs a generator. For a model other than lite the better judge is lite, if it is installed. The mean
    vectors of a photo folder, and the description of a shop's own photos, need no training of a pretrained model.
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
    models = chosen.get("model", PRETRAINED).split(",")
    if "judge" not in chosen and not any(m.startswith(PRETRAINED) for m in models) and _has_lite():
        implied.append(f"judge={PRETRAINED}")
    return arguments + implied


def _without_training(chosen: dict[str, str]) -> list[str]:
    """Return model.training.steps=0: the mean needs no trained encoder. Any model.training.* setting trains one."""
    trains = chosen.get("model") == FROM_SCRATCH or any(key.startswith("model.training.") for key in chosen)
    return [] if trains else ["model.training.steps=0"]


def _has_lite() -> bool:
    return not missing_packages(LITE)


def flags_first(arguments: list[str]) -> list[str]:
    """Put flags before settings: people type `ablation=… -m`, which argparse does not accept."""
    flags: list[str] = []
    settings: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        (flags if argument.startswith("-") else settings).append(argument)
        if argument in FLAGS_WITH_VALUE:
            flags += [value for value in [next(rest, None)] if value is not None]
    return flags + settings
