"""docs/reference/settings.md, made from the schema's dataclasses and the comments in conf/.

python scripts/settings_page.py     prints the page; `make docs` writes it into the site
"""

import dataclasses
import inspect
import itertools
import re
import typing
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from skufp.schema import Config, register_schema
from skufp.shipped import config_folder

HEAD = """# Settings

Every setting, from the schema and from `conf/`. Write it as `name=value` on the command line
(`model.training.steps=150`), in a sweep's YAML, or in the list that `skufp.run` takes. A **choice** such as
`model=lite` sets a whole section at once; single settings can be changed after it. `python -m skufp --cfg job`
prints the composed settings, and the error for an unknown name has the nearest valid name.

Defaults below are those of `python -m skufp` without arguments. `null` means not set.
"""
STAGES = """## Stages

Settings of single stages, as in `stages.fingerprint.steps=200`. Which stages a stage needs is described in
[Stages](../concepts/stages.md).
"""
WIRING = ("run", "needs", "uses", "outside", "label", "resume", "export")  # of a stage
MARKS = ("_target_", "_recursive_")


def page() -> str:
    """Return the whole page."""
    register_schema()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("config")
    comments = schema_comments(Config) | config_comments(config_folder() / "config.yaml")
    top, sections = [], []
    for field in dataclasses.fields(Config):
        if field.name == "stages":
            continue
        if isinstance(cfg[field.name], DictConfig) or (config_folder() / field.name).is_dir():
            sections.append(section(cfg, field.name))
        else:
            hint, default = typing.get_type_hints(Config)[field.name], flow(OmegaConf.to_container(cfg)[field.name])
            top.append([field.name, kind(hint), f"`{default}`", comments.get(field.name, "")])
    general = ["## General", table(["setting", "type", "default", "meaning"], top)]
    return "\n\n".join([HEAD, *general, *sections, STAGES, *stages(cfg)]) + "\n"


def section(cfg: DictConfig, name: str) -> str:
    """Return a section's choices and its settings."""
    folder = config_folder() / name
    schema = typing.get_type_hints(Config)[name]
    parts = [f"## {name}"]
    if dataclasses.is_dataclass(schema):
        parts.append(" ".join((schema.__doc__ or "").split()).replace("``", "`"))
    if folder.is_dir():
        chosen = chosen_of(name)
        default = {chosen: " (default)"}
        found = [[f"`{name}={p.stem}`" + default.get(p.stem, ""), headline(p)] for p in choices(folder)]
        parts.append(table(["choice", "what it is"], found))
    if not isinstance(cfg[name], DictConfig):  # a choice that changes only other sections
        return "\n\n".join(parts)
    comments = schema_comments(schema)
    for path in choices(folder) if folder.is_dir() else [config_folder() / "config.yaml"]:
        within = "" if folder.is_dir() else f"{name}."
        for key, text in config_comments(path).items():
            if key.startswith(within):
                comments.setdefault(key.removeprefix(within), text)
    found = [
        [f"{name}.{key}", hint, default, comments.get(key, "")] for key, hint, default in leaves(cfg[name], schema)
    ]
    found += of_other_choices(folder, name, {row[0] for row in found}, comments)
    parts.append(table(["setting", "type", "default", "meaning"], found))
    return "\n\n".join(part for part in parts if part)


def of_other_choices(folder: Path, name: str, known: set[str], comments: dict[str, str]) -> list[list[str]]:
    """Return a row for every setting that the default choice does not have."""
    rows = []
    for path in choices(folder) if folder.is_dir() else []:
        own: Any = OmegaConf.load(path)
        for key, _, default in leaves(own, None):
            if (setting := f"{name}.{key}") not in known and not key.startswith("defaults"):
                known.add(setting)
                rows.append([setting, "", f"{default} ({name}={path.stem})", comments.get(key, "")])
    return rows


def leaves(node: DictConfig, schema: Any, key: str = "") -> list[tuple[str, str, str]]:
    """Return (dotted key, type, default) of every single setting below ``node``, whose dataclass is ``schema``."""
    found: list[tuple[str, str, str]] = []
    hints = typing.get_type_hints(schema) if dataclasses.is_dataclass(schema) else {}
    values = OmegaConf.to_container(node, resolve=False)
    for child, value in values.items():  # type: ignore[union-attr]
        path, hint = f"{key}.{child}".lstrip("."), hints.get(str(child))
        if child in MARKS or path == "name":
            continue
        if isinstance(value, dict) and value:
            found += leaves(node[child], hint, path)
        else:
            found.append((path, kind(hint) if hint else "", f"`{flow(value)}`"))
    return found


def stages(cfg: DictConfig) -> list[str]:
    """Return a part for every stage that has settings of its own."""
    parts = []
    for name in cfg.stages:
        comments = config_comments(config_folder() / "stages" / f"{name}.yaml")
        rows = [
            [f"stages.{name}.{key}", default, comments.get(key, "")]
            for key, _, default in leaves(cfg.stages[name], None)
            if key not in WIRING
            and not key.startswith("callbacks")
            and "${" not in default  # a reference to another setting
        ]
        if rows:
            parts.append(f"### {name}\n\n" + table(["setting", "default", "meaning"], rows))
    return parts


def choices(folder: Path) -> list[Path]:
    """Return the YAML files of a group."""
    return sorted(folder.glob("*.yaml"))


def chosen_of(group: str) -> str:
    """Return the default choice of a group."""
    text = (config_folder() / "config.yaml").read_text(encoding="utf-8")
    match = re.search(rf"^  - {group}: (\S+)$", text, re.M)
    return match[1] if match else ""


def headline(path: Path) -> str:
    """Return the comment at the head of a YAML file; without one, the settings that it changes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    said = [line.lstrip("# ") for line in head if not line.startswith("# @package")]
    changed = [line for line in lines[len(head) :] if not line.startswith(("name:", f"{path.parent.name}:"))]
    return " ".join(said) or ", ".join(f"`{line}`" for line in changed)


def schema_comments(schema: Any, key: str = "") -> dict[str, str]:
    """Return the comment beside each field of a dataclass and of nested dataclasses, by dotted key."""
    if not dataclasses.is_dataclass(schema):
        return {}
    found: dict[str, str] = {}
    for line in inspect.getsource(schema).splitlines():  # type: ignore[arg-type]
        if match := re.match(r"    (\w+): .*?  # (.*)$", line):
            found[f"{key}{match[1]}"] = match[2]
    for name, hint in typing.get_type_hints(schema).items():
        found |= schema_comments(hint, f"{key}{name}.") if schema is not Config else {}
    return found


def config_comments(path: Path) -> dict[str, str]:
    """Return the comment beside each setting of a YAML file, by dotted key."""
    found: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r"^(\s*)([A-Za-z_][\w-]*):(.*)$", line)
        if not match:
            continue
        indent = len(match[1])
        while stack and stack[-1][0] >= indent:
            stack.pop()
        stack.append((indent, match[2]))
        comment = re.search(r"(?:^|\s)#\s?(.*)$", re.sub(r"\"[^\"]*\"|'[^']*'", "", match[3]))
        if comment:
            found[".".join(key for _, key in stack)] = comment[1].strip()
    return found


def flow(value: Any) -> str:
    """Return a value in YAML's flow style."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return '""' if value == "" else str(value)


def kind(hint: Any) -> str:
    """Return a type in words."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(hint.__name__, "")
    text = str(hint).replace("typing.", "").replace("str", "text")
    optional = " or null" if "None" in text else ""
    if "list" in text:
        return f"list of {'numbers' if 'int' in text or 'float' in text else 'texts'}{optional}"
    if "dict" in text:
        return "mapping"
    for name, word in (("int", "whole number"), ("float", "number"), ("text", "text")):
        if name in text:
            return word + optional
    return ""


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; empty without rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *([f"`{row[0]}`" if "`" not in row[0] else row[0], *row[1:]] for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    print(page())
