"""Validation of a vocabulary's lists: names and texts are read, and mistakes refused with their place."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from skufp.errors import UserError, nearest

_FIELDS = re.compile(r"{([^{}]*)}")
_SEPARATORS = re.compile(r"[\s_®™-]+")


def named(spec: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """Return the names under ``key`` with their settings, at least one."""
    value = spec.get(key)
    if not isinstance(value, Mapping) or not value:
        raise UserError(f"{where}.{key}: give at least one name with its settings, e.g. {{name: {{}}}}")
    for name in value:
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{where}.{key}: '{name}' is no name; put quotes around what YAML takes for something else")
    return value


def check_keys(spec: Any, known: Iterable[str], where: str) -> None:
    """Raise UserError for anything but a mapping of ``known`` settings."""
    if not isinstance(spec, Mapping):
        raise UserError(f"{where}: give settings such as {{{', '.join(known)}}}, not '{spec}'")
    for key in spec:
        if key not in known:
            raise UserError(f"{where}: there is no setting '{key}'.{nearest(str(key), known)}")


def text(spec: Mapping[str, Any], key: str, where: str) -> str | None:
    """Return the text under ``key``; None if it is absent."""
    value = spec.get(key)
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise UserError(f"{where}.{key}: give text or null, not '{value}'")
    return value


def texts(spec: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Return the list of texts under ``key``; empty if it is absent."""
    value = spec.get(key) or []
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        raise UserError(f"{where}.{key}: give a list of texts, not '{value}'")
    return tuple(value)


def prompts(value: Any, fields: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Check templates: each has the first of ``fields``, and no names outside ``fields``."""
    templates = texts({"prompts": value}, "prompts", where)
    if not templates:
        raise UserError(f"{where}: give at least one template with {{{fields[0]}}}")
    for template in templates:
        found = _FIELDS.findall(template)
        if fields[0] not in found or set(found) - set(fields):
            raise UserError(f"{where}: '{template}' must have {{{fields[0]}}}, and may have no other than {fields}")
    return templates


def plain(text: str) -> str:
    """Return a spelling in lower case without accents and separators of words."""
    return " ".join(_SEPARATORS.sub(" ", text.casefold()).split())


def lookup(names: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Map every spelling to the first of its tuple."""
    return {plain(spelling): spellings[0] for spellings in names for spelling in spellings}


def refuse_ambiguous(where: str, names: Iterable[tuple[str, ...]]) -> None:
    """Raise UserError for a spelling of two names, each the first of its tuple."""
    seen: dict[str, str] = {}
    for spellings in names:
        for spelling in spellings:
            if seen.setdefault(plain(spelling), spellings[0]) != spellings[0]:
                raise UserError(f"{where}: '{spelling}' means both '{seen[plain(spelling)]}' and '{spellings[0]}'")
