"""schema.org/Product as JSON-LD: one graph with a node per product (https://schema.org/Product)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skufp.catalogue.exports.cells import clean
from skufp.catalogue.exports.listing import AVAILABILITIES, CONDITIONS, Listing, right_gtin
from skufp.catalogue.exports.report import Problem
from skufp.catalogue.journal import write_whole

FILE = "products.jsonld"
NEEDS = ("image", "price", "currency", "availability", "brand")
CONTEXT = "https://schema.org"
_AVAILABILITY = dict(
    zip(AVAILABILITIES, (f"{CONTEXT}/{n}" for n in ("InStock", "OutOfStock", "PreOrder", "BackOrder")), strict=True)
)
_CONDITION = dict(zip(CONDITIONS, (f"{CONTEXT}/{n}Condition" for n in ("New", "Refurbished", "Used")), strict=True))
_OWN_PROPERTIES = ("colour", "fabric", "pattern", "gender", "category")


def node(item: Listing) -> dict[str, Any]:
    """Return a product's node with its known values. An offer needs price and currency."""
    copy, facts = item.copy, item.product.facts
    offer = {
        "@type": "Offer", "price": item.price, "priceCurrency": item.currency, "url": item.link,
        "availability": _AVAILABILITY.get(item.availability), "itemCondition": _CONDITION.get(item.condition),
    }  # fmt: skip
    found = {
        "@type": "Product",
        "@id": item.link and f"{item.link}#product",
        "sku": item.sku_id,
        "name": copy.title,
        "description": copy.description,
        "url": item.link,
        "image": item.images,
        "brand": item.brand and {"@type": "Brand", "name": item.brand},
        "category": facts.category,
        "color": item.colour,
        "material": item.fabric,
        "pattern": item.pattern,
        "size": item.size,
        "gtin": item.gtin,
        "mpn": item.mpn,
        "audience": item.gender and {"@type": "PeopleAudience", "suggestedGender": item.gender},
        "keywords": copy.seo_tags,
        "additionalProperty": [
            {"@type": "PropertyValue", "name": name.replace("_", " "), "value": value.value}
            for name, value in facts.attributes.items()
            if name not in _OWN_PROPERTIES
        ],
        "isSimilarTo": [{"@type": "Product", "sku": other["sku_id"]} for other in item.product.similar],
        "offers": offer if item.price and item.currency else None,
    }  # fmt: skip
    return _known(found)


def _known(value: Any) -> Any:
    """Return ``value`` without empty parts and characters that are illegal in text files."""
    if isinstance(value, dict):
        return {name: kept for name, part in value.items() if (kept := _known(part))}
    if isinstance(value, list):
        return [_known(part) for part in value]
    return clean(value) if isinstance(value, str) else value


def write(path: Path, listings: Sequence[Listing]) -> None:
    """Write the graph, atomically. ``<`` is escaped, so that a node can be put into a page's script element."""
    graph = {"@context": CONTEXT, "@graph": [node(item) for item in listings]}
    text = json.dumps(graph, ensure_ascii=False, indent=1).replace("<", "\\u003c")
    write_whole(path, (text + "\n").encode("utf-8"))


def validate(path: Path) -> list[Problem]:
    """Return the problems of a graph: types, unique ids, addresses, offers."""
    text = path.read_bytes().decode("utf-8")
    try:
        graph = json.loads(text)
        context, nodes = graph["@context"], list(graph["@graph"])
    except (ValueError, KeyError, TypeError) as error:
        return [Problem(path.name, "", "@graph", f"no graph ({type(error).__name__})")]
    problems = [Problem(path.name, "", "@context", f"'{context}'")] if context != CONTEXT else []
    problems += [Problem(path.name, "", "text", "'<' would end a script element")] if "<" in text else []
    skus: set[str] = set()
    for product in nodes:
        sku = product.get("sku", "")
        reasons = _reasons(product) + ([("sku", "twice")] if sku in skus else [])
        problems += [Problem(path.name, sku, name, reason) for name, reason in reasons]
        skus.add(sku)
    return problems


def _reasons(product: dict[str, Any]) -> list[tuple[str, str]]:
    reasons = [(name, "empty") for name in ("sku", "name", "description") if not product.get(name)]
    reasons += [("@type", "not Product")] if product.get("@type") != "Product" else []
    addresses = [("image", url) for url in product.get("image", [])] + [("url", product.get("url", "https://"))]
    reasons += [
        (name, f"'{url}' is no address") for name, url in addresses if not url.startswith(("https://", "http://"))
    ]
    if "gtin" in product and not right_gtin(product["gtin"]):
        reasons.append(("gtin", f"'{product['gtin']}' is no GTIN"))
    offer = product.get("offers", {"price": "0", "priceCurrency": "EUR"})
    if not str(offer.get("price", "")).replace(".", "", 1).isdigit():
        reasons.append(("offers", f"price '{offer.get('price')}' is no number"))
    if len(offer.get("priceCurrency", "")) != 3:
        reasons.append(("offers", f"currency '{offer.get('priceCurrency')}'"))
    for name, allowed in (("availability", _AVAILABILITY), ("itemCondition", _CONDITION)):
        if name in offer and offer[name] not in allowed.values():
            reasons.append(("offers", f"{name} '{offer[name]}'"))
    return reasons
