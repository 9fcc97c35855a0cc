"""build(): the one place that instantiates a ``_target_``. It takes plain dictionaries and no OmegaConf."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from skufp.errors import UserError, nearest
from skufp.targets import BUILT, place_of, refuse_other


def build(spec: Mapping[str, Any], **extra: Any) -> Any:
    """Instantiate ``spec['_target_']`` with the other keys as arguments; nested specs are built first.

    With ``_recursive_: false`` in the spec, nested specs stay plain dicts. ``extra`` arguments replace those in
    ``spec``. Raises UserError for a target that is not in targets.BUILT, and for an unknown argument.
    """
    values = dict(spec)
    target = values.pop("_target_")
    refuse_other("_target_", target, BUILT)
    if values.pop("_recursive_", True):
        values = {key: _build_nested(value) for key, value in values.items()}
    factory = named(target)
    values.update(extra)
    check_arguments(target, values, accepted_by(factory))
    return factory(**values)


def named(name: str) -> Any:
    """Import the class or function called ``name``, "<module>.<its name>", in settings and saved folders."""
    module, _, attribute = place_of(name).rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def check_arguments(target: str, values: Mapping[str, Any], accepted: set[str] | None) -> None:
    """Raise UserError for the first of ``values`` that is not among ``accepted``; None accepts all."""
    for key in values:
        if accepted is not None and key not in accepted:
            raise UserError(f"{target} has no setting '{key}'.{nearest(key, accepted)}")


def accepted_by(factory: Any) -> set[str] | None:
    """Return the names of the arguments that ``factory`` takes; None when it takes any."""
    parameters = inspect.signature(factory).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters}


def _build_nested(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value)
        return {key: _build_nested(inner) for key, inner in value.items()}
    return [_build_nested(inner) for inner in value] if isinstance(value, list) else value
