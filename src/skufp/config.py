"""Checks of a composed configuration, and build() of the objects that it describes."""

import ast
import importlib.util
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from skufp import factory
from skufp.errors import UserError, nearest
from skufp.schema import Config
from skufp.targets import BUILT, EXPORTS, place_of, refuse_other, stage_modules


def plain(node: Any) -> Any:
    """Return ``node`` as plain resolved dicts, lists and scalars."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def build(spec: Mapping[str, Any] | DictConfig, **extra: Any) -> Any:
    """As factory.build, for a spec that may still hold interpolations."""
    return factory.build(plain(spec), **extra)


def locate(export: str) -> Any:
    """Return the function that a stage's ``export`` names; UserError unless it is in targets.EXPORTS."""
    refuse_other("export", export, EXPORTS)
    return factory.named(export)


def setting(cfg: Config, key: str) -> Any:
    """Return OmegaConf's value of the setting at a dotted key; None if there is none."""
    return OmegaConf.select(cast(DictConfig, cfg), key)


def of_stage(cfg: Config, name: str) -> Config:
    """Return a read-only copy of the run's settings in which the stage is ``name``."""
    job = cast(DictConfig, cfg).copy()
    OmegaConf.set_readonly(job, False)
    job.stage = name
    OmegaConf.set_readonly(job, True)
    return cast(Config, job)


def check_keys(cfg: DictConfig, schema: type, where: str = "") -> None:
    """Raise UserError for keys that the dataclass ``schema`` lacks: `+name=…` and YAML files can add them in Hydra."""
    types = typing.get_type_hints(schema)
    for key in cfg:
        name = str(key)
        if name not in types:
            raise UserError(f"There is no setting '{where}{name}'.{nearest(name, types)}")
        if is_dataclass(types[name]) and isinstance(cfg[name], DictConfig):
            check_keys(cfg[name], types[name], f"{where}{name}.")


def check_targets(node: Any, where: str = "") -> None:
    """Check every `_target_` under ``node`` as build() does, without importing it, which would be slow."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            target = node["_target_"]
            refuse_other(f"{where}._target_", target, BUILT)
            if (accepted := _signature_from_source(target)) is not None:
                given = {k: v for k, v in node.items() if k not in ("_target_", "_recursive_")}
                factory.check_arguments(f"{where} ({target})", given, accepted)
        for key, value in node.items():
            check_targets(value, f"{where}.{key}".lstrip("."))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            check_targets(value, f"{where}[{i}]")


def check_stages(stages: Mapping[str, Any]) -> None:
    """Check the modules and functions that the stages' ``run`` and ``export`` name."""
    modules = stage_modules()
    for name, spec in stages.items():
        refuse_other(f"stages.{name}.run", spec["run"], modules)
        if "export" in spec:
            refuse_other(f"stages.{name}.export", spec["export"], EXPORTS)


def _signature_from_source(target: str) -> set[str] | None:
    """As factory.accepted_by, from the source text of one of our modules; None if unknown."""
    module, _, name = place_of(target).rpartition(".")
    if not target.startswith("skufp."):
        return None
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        return None
    with open(spec.origin, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    nodes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    if name not in nodes:
        return None
    node = nodes[name]
    if isinstance(node, ast.FunctionDef):
        return _argument_names(node)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            names = _argument_names(item)
            return None if names is None else names - {"self"}
    if any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return {i.target.id for i in node.body if isinstance(i, ast.AnnAssign) and isinstance(i.target, ast.Name)}
    return None


def _argument_names(function: ast.FunctionDef) -> set[str] | None:
    arguments = function.args
    if arguments.kwarg:
        return None
    return {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
