"""Checking a composed configuration, and build(): the one place that instantiates a ``_target_``."""

import ast
import importlib
import importlib.util
import inspect
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from skufp.errors import UserError, nearest
from skufp.targets import BUILT, EXPORTS, place_of, refuse_other, stage_modules


def plain(node: Any) -> Any:
    """Return ``node`` as plain resolved dicts, lists and scalars."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def build(spec: Mapping[str, Any] | DictConfig, **extra: Any) -> Any:
    """Instantiate ``spec['_target_']`` with the other keys as arguments; nested specs are built first.

    With ``_recursive_: false`` in the spec, nested specs stay plain dicts. ``extra`` arguments win over those in
    ``spec``. Raises UserError for a target that is not in targets.BUILT, and for an argument it does not take.
    """
    values = dict(plain(spec))
    target = values.pop("_target_")
    refuse_other("_target_", target, BUILT)
    if values.pop("_recursive_", True):
        values = {key: _build_nested(value) for key, value in values.items()}
    factory = located(target)
    values.update(extra)
    _check_arguments(target, values, _accepted(factory))
    return factory(**values)


def locate(export: str) -> Any:
    """Return the function that a stage's ``export`` names; UserError unless it is in targets.EXPORTS."""
    refuse_other("export", export, EXPORTS)
    return located(export)


def located(name: str) -> Any:
    """Import and return the class or function of this name, which is one of targets."""
    module, _, attribute = place_of(name).rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def check_keys(cfg: DictConfig, schema: type, where: str = "") -> None:
    """Refuse keys that the dataclass ``schema`` does not have: Hydra lets `+name=…` and YAML files add them."""
    types = typing.get_type_hints(schema)
    for key in cfg:
        name = str(key)
        if name not in types:
            raise UserError(f"There is no setting '{where}{name}'.{nearest(name, types)}")
        if is_dataclass(types[name]) and isinstance(cfg[name], DictConfig):
            check_keys(cfg[name], types[name], f"{where}{name}.")


def check_targets(node: Any, where: str = "") -> None:
    """Check every `_target_` under ``node`` as build() does, without importing it (so it stays quick)."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            target = node["_target_"]
            refuse_other(f"{where}._target_", target, BUILT)
            if (accepted := _signature_from_source(target)) is not None:
                given = {k: v for k, v in node.items() if k not in ("_target_", "_recursive_")}
                _check_arguments(f"{where} ({target})", given, accepted)
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


def _build_nested(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value)
        return {key: _build_nested(inner) for key, inner in value.items()}
    return [_build_nested(inner) for inner in value] if isinstance(value, list) else value


def _check_arguments(target: str, values: Mapping[str, Any], accepted: set[str] | None) -> None:
    for key in values:
        if accepted is not None and key not in accepted:
            raise UserError(f"{target} has no setting '{key}'.{nearest(key, accepted)}")


def _accepted(factory: Any) -> set[str] | None:
    """Names of the arguments ``factory`` takes; None when it takes any."""
    parameters = inspect.signature(factory).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters}


def _signature_from_source(target: str) -> set[str] | None:
    """As _accepted, read from the source text of one of our modules; None when it cannot be told."""
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
