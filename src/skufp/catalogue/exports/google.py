"""Google product feed, as TSV and as RSS 2.0 (support.google.com/merchants/answer/7052112, product data specification).

Title and description that a machine wrote go as structured_title and structured_description with
``digital_source_type=trained_algorithmic_media`` (…/answer/6324415 and …/6324468). The template counts as a machine:
its words come from attributes that a trained model predicted. The shop's own words go as title and description.
"""

import csv
import io
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

from skufp.catalogue.exports.cells import Table, clean, flat
from skufp.catalogue.exports.listing import Listing, Shop
from skufp.catalogue.journal import write_whole

TSV_FILE, XML_FILE = "google_products.tsv", "google_products.xml"
NAMESPACE = "http://base.google.com/ns/1.0"
NEEDS = (
    "link", "image", "availability", "price", "currency", "brand", "gtin or mpn", "google_category", "colour", "gender",
    "age_group", "size",
)  # fmt: skip
BY_MACHINE = "trained_algorithmic_media"
STRUCTURED = {"structured_title": "title", "structured_description": "description"}
LISTS = ("additional_image_link", "product_highlight")
COLUMNS = (
    "id", "title", "structured_title", "description", "structured_description", "link", "image_link",
    "additional_image_link", "availability", "price", "brand", "gtin", "mpn", "identifier_exists", "condition",
    "google_product_category", "product_type", "item_group_id", "color", "material", "pattern", "size", "age_group",
    "gender", "product_highlight",
)  # fmt: skip
LONGEST_HIGHLIGHT, FEWEST_HIGHLIGHTS, MOST_PHOTOS = 150, 2, 10
NO_COLOURS = ("multicolour", "multicolor", "multi", "various", "assorted", "n/a")  # which Google refuses

Attributes = dict[str, str | list[str]]


def attributes(item: Listing) -> Attributes:
    """Return a product's known attributes. Structured attributes hold their content."""
    copy = item.copy
    highlights = [flat(point) for point in copy.bullet_points if len(flat(point)) <= LONGEST_HIGHLIGHT]
    found: Attributes = {
        "id": item.sku_id,
        "structured_title" if item.by_machine("title") else "title": flat(copy.title),
        "structured_description" if item.by_machine("description") else "description": clean(copy.description),
        "link": item.link,
        "image_link": item.images[0] if item.images else "",
        "additional_image_link": item.images[1 : 1 + MOST_PHOTOS],
        "availability": item.availability,
        "price": f"{item.price} {item.currency}" if item.price and item.currency else "",
        "brand": item.brand,
        "gtin": item.gtin,
        "mpn": item.mpn,
        "identifier_exists": item.identifier_exists,
        "condition": item.condition,
        "google_product_category": item.taxon.google,
        "product_type": item.product.facts.category,
        "item_group_id": item.group,
        "color": "" if item.colour.lower() in NO_COLOURS else item.colour,
        "material": item.fabric,
        "pattern": item.pattern,
        "size": item.size,
        "age_group": item.age_group,
        "gender": item.gender,
        "product_highlight": highlights if len(highlights) >= FEWEST_HIGHLIGHTS else [],
    }
    return {name: value for name, value in found.items() if value}


def structured(content: str) -> str:
    """Return a structured attribute as a text feed has it: source type, colon, content (quoted where it must be)."""
    quoted = '"' + content.replace('"', '""') + '"' if ":" in content or '"' in content else content
    return f"{BY_MACHINE}:{quoted}"


def listed(values: Sequence[str]) -> str:
    """Return a repeated attribute as a text feed has it: commas between values, those with commas or quotes quoted."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def table(listings: Sequence[Listing]) -> Table:
    """Return the text feed: a row per product, each in one line, without line breaks or tabs inside."""
    out = Table(COLUMNS, "id")
    for item in listings:
        out.add({name: _cell(name, value) for name, value in attributes(item).items()})
    return out


def _cell(name: str, value: str | list[str]) -> str:
    if isinstance(value, list):
        return listed([flat(part) for part in value])
    return structured(flat(value)) if name in STRUCTURED else flat(value)


def write_xml(path: Path, listings: Sequence[Listing], shop: Shop) -> None:
    """Write the feed as RSS 2.0, atomically."""
    ET.register_namespace("g", NAMESPACE)
    rss = ET.Element("rss", version="2.0")
    channel = ET.SubElement(rss, "channel")
    for name, value in (("title", shop.name or "Products"), ("link", shop.url), ("description", "Product feed")):
        ET.SubElement(channel, name).text = clean(value)
    for item in listings:
        element = ET.SubElement(channel, "item")
        _add(element, attributes(item))
    ET.indent(rss)
    write_whole(path, ET.tostring(rss, encoding="utf-8", xml_declaration=True) + b"\n")


def _add(element: ET.Element, found: Mapping[str, str | list[str]]) -> None:
    for name, value in found.items():
        for part in value if isinstance(value, list) else [value]:
            child = ET.SubElement(element, f"{{{NAMESPACE}}}{name}")
            if name in STRUCTURED:
                ET.SubElement(child, f"{{{NAMESPACE}}}digital_source_type").text = BY_MACHINE
                ET.SubElement(child, f"{{{NAMESPACE}}}content").text = clean(part)
            else:
                child.text = clean(part)
