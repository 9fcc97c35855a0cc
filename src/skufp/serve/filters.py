"""Filters at search time: the SKUs whose facts match."""

from collections.abc import Iterable, Mapping
from typing import Any

from skufp.artifacts.products import Product, same
from skufp.data.captions import attributes_of
from skufp.errors import UserError, nearest

Facts = Mapping[tuple[str, str], Mapping[str, str]]  # (split, sku_id) -> name -> value
SHOWN = 12  # values in a message


def facts_of(products: Iterable[Product]) -> dict[tuple[str, str], dict[str, str]]:
    """Return every SKU's facts: its fields, its attributes by their standard names, and its category.

    So ``colour`` also finds a column Color; a field of exactly that name takes precedence. The category is the one in
    results (category_name) or, if the source has a field category, either of the two.
    """
    facts = {}
    for p in products:
        known = attributes_of(p.fields) | {same(name): value for name, value in p.fields.items()}
        known["category name"] = p.category_name
        known["category"] = ", ".join(dict.fromkeys(c for c in (known.get("category", ""), p.category_name) if c))
        facts[p.sku] = {name: value for name, value in known.items() if value}
    return facts


def matching(facts: Facts, wanted: Mapping[str, Any], where: str = "query.filter") -> list[tuple[str, str]]:
    """Return the SKUs of ``facts`` that match every filter of ``wanted``, in their order.

    A filter is a name and a value, or several alternative values; a fact that is a list in one text ("cotton, wool")
    matches by each of its parts. Case, _ and repeated spaces are ignored. Raises UserError for a name or value that no
    SKU has, with the nearest; for a filter without a value; and if no SKU matches all filters. ``where`` is the
    filter's name in messages.
    """
    names = {same(name).replace(" ", "_") for known in facts.values() for name in known}  # as they are typed
    if not isinstance(wanted, Mapping):
        raise UserError(f'{where}={wanted!r}: give names with values, as in {{"colour": "red"}}')
    left = list(facts)
    fits: dict[str, int] = {}
    for name, values in wanted.items():
        key = same(str(name))
        if (typed := key.replace(" ", "_")) not in names:
            raise UserError(f"{where}.{name}: no SKU of the gallery has such a field.{nearest(typed, names)}")
        asked = _asked(values, f"{where}.{name}")
        own = {sku: _parts(known.get(key, "")) for sku, known in facts.items()}
        present = {part: part for parts in own.values() for part in parts}
        for value in asked:
            if value not in present:
                raise UserError(f"{where}.{name}={value}: no SKU of the gallery has it.{_nearest(value, present)}")
        left = [sku for sku in left if asked & own[sku]]
        said = ",".join(sorted(asked))
        fits[f"{name}={f'[{said}]' if len(asked) > 1 else said}"] = sum(bool(asked & parts) for parts in own.values())
    if not left:
        each = ", ".join(f"{said} fits {count}" for said, count in fits.items())
        raise UserError(f"no SKU of the gallery fits all of {where} ({each} of {len(facts)}): leave one out")
    return left


def _asked(values: Any, where: str) -> set[str]:
    many = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
    asked = {same("" if value is None else str(value)) for value in (values if many else [values])}
    if not asked or "" in asked or isinstance(values, Mapping):
        raise UserError(f"{where} has no value: give one, or a list of which any will do")
    return asked


def _parts(value: str) -> set[str]:
    return {part for part in (same(value), *(same(part) for part in value.split(","))) if part}


def _nearest(value: str, present: Iterable[str]) -> str:
    """Return a hint with the nearest value, or with the first valid values."""
    said, values = nearest(value, present), sorted(present)
    if said.startswith(" Valid") and len(values) > SHOWN:
        return f" Valid: {', '.join(values[:SHOWN])}, … ({len(values)} in all)."
    return said
