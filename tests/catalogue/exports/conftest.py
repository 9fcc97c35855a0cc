"""Products whose rows are known by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from skufp.catalogue.described import Described
from skufp.catalogue.exports import Shop, Taxon
from skufp.catalogue.facts import Facts, Value
from skufp.catalogue.metadata import ProductCopy

Make = Callable[..., Described]
COPY: dict[str, Any] = {
    "title": "Navy crew-neck T-shirt",
    "bullet_points": ["Solid navy", "Short sleeves, crew neck", "Cotton"],
    "description": "A navy T-shirt.\n\nMade of cotton.",
    "style_summary": "Plain and quiet.",
    "seo_tags": ["navy t-shirt", "crew neck", "cotton", "short sleeve", "solid"],
}
ATTRIBUTES = {
    "colour": Value("navy", 0.91, "pixels"),
    "fabric": Value("cotton", 0.6, "prompt"),
    "pattern": Value("solid", 0.75, "probe"),
    "sleeve": Value("short", 0.8, "prompt"),
}
FIELDS = {"price": "29.90", "currency": "EUR", "brand": "Åse & Sønn", "gtin": "4006381333931"}  # a GTIN that is right


def _make(sku_id: str = "tee-1", /, **changes: Any) -> Described:
    copy = ProductCopy(**COPY | {name: changes.pop(name) for name in list(changes) if name in COPY})
    facts = Facts(
        sku_id,
        changes.pop("category", "T-shirt"),
        changes.pop("attributes", ATTRIBUTES),
        changes.pop("fields", FIELDS),
    )
    written_by = changes.pop("written_by", {"title": "model", "description": "template"})
    return Described(facts, copy, written_by, **changes)


@pytest.fixture
def make() -> Make:
    """Make a described product; keywords change the copy, the facts or the row."""
    return _make


@pytest.fixture
def shop() -> Shop:
    """A shop that supplies what it can."""
    return Shop(
        name="Åse",
        url="https://shop.example",
        link="https://shop.example/p/{handle}",
        image_url="https://cdn.example/photos/",
        availability="in stock",
        condition="new",
        age_group="adult",
        taxons={"T-shirt": Taxon("aa-1-13-8", "212")},
    )
