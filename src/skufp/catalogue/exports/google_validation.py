"""Validation of a product feed by Google's rules, read back from the file: columns, lengths, values, unique ids."""

import csv
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

from skufp.catalogue.exports import google
from skufp.catalogue.exports.cells import read_table, runs_in_a_spreadsheet
from skufp.catalogue.exports.listing import AGE_GROUPS, AVAILABILITIES, CONDITIONS, GENDERS, right_gtin
from skufp.catalogue.exports.report import Problem

LONGEST = {
    "id": 50, "title": 150, "description": 5000, "link": 2000, "image_link": 2000, "additional_image_link": 2000,
    "brand": 70, "mpn": 70, "google_product_category": 750, "product_type": 750, "item_group_id": 50, "color": 100,
    "material": 200, "pattern": 100, "size": 100, "product_highlight": 150,
}  # fmt: skip
ALLOWED = {
    "availability": AVAILABILITIES,
    "condition": CONDITIONS,
    "age_group": AGE_GROUPS,
    "gender": GENDERS,
    "identifier_exists": ("yes", "no"),
}
_SOURCE_TYPES = ("", "default", google.BY_MACHINE)
_G = f"{{{google.NAMESPACE}}}"
Item = dict[str, list[str]]  # attribute → values; structured attributes under the plain name, once each


def validate_tsv(path: Path) -> list[Problem]:
    """Return the problems of a text feed."""
    header, rows = read_table(path, "\t")
    if tuple(header) != google.COLUMNS:
        return [Problem(path.name, "", "header", f"columns are {', '.join(header)}")]
    problems, items = [], []
    for cells in rows:
        if len(cells) != len(header):
            problems.append(Problem(path.name, cells[0] if cells else "", "row", f"{len(cells)} cells"))
            continue
        row = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
        reasons = [(name, "might be run as a formula") for name, cell in row.items() if runs_in_a_spreadsheet(cell)]
        reasons += [(name, "has a line break or a tab") for name, cell in row.items() if re.search(r"[\t\r\n]", cell)]
        problems += [Problem(path.name, row.get("id", ""), name, reason) for name, reason in reasons]
        items.append(_of_row(row))
    return problems + _problems(path.name, items)


def _of_row(row: dict[str, str]) -> Item:
    item: Item = {}
    for name, cell in row.items():
        values = next(csv.reader([cell])) if name in google.LISTS else [cell]
        if name in google.STRUCTURED:
            kind, content = next(csv.reader([cell], delimiter=":"))[:2] if ":" in cell else ("no colon", cell)
            item.setdefault("digital_source_type", []).append(kind)
            values = [content]
        item.setdefault(google.STRUCTURED.get(name, name), []).extend(values)
    return item


def validate_xml(path: Path) -> list[Problem]:
    """Return the problems of an RSS 2.0 feed."""
    try:
        root = ET.fromstring(path.read_bytes())
    except ET.ParseError as error:
        return [Problem(path.name, "", "xml", str(error))]
    items = []
    for element in root.findall("./channel/item"):
        item: Item = {}
        for child in element:
            name, text = child.tag.removeprefix(_G), child.text or ""
            if name in google.STRUCTURED:
                item.setdefault("digital_source_type", []).append(child.findtext(f"{_G}digital_source_type", ""))
                text = child.findtext(f"{_G}content", "")
            item.setdefault(google.STRUCTURED.get(name, name), []).append(text)
        items.append(item)
    return _problems(path.name, items)


def _problems(file: str, items: Iterable[Item]) -> list[Problem]:
    problems: list[Problem] = []
    ids: set[str] = set()
    for item in items:
        sku = item.get("id", [""])[0]
        reasons = _reasons(item) + ([("id", "twice")] if sku in ids else [])
        problems += [Problem(file, sku, name, reason) for name, reason in reasons]
        ids.add(sku)
    return problems


def _reasons(item: Item) -> list[tuple[str, str]]:
    """Return the problems of one product. Attributes that only the shop can supply may be missing."""
    reasons = [(name, "empty") for name in ("id", "title", "description") if not any(item.get(name, []))]
    for name, values in item.items():
        if name not in (*google.COLUMNS, "digital_source_type"):
            reasons.append((name, "Google has no such attribute, or it is not one of ours"))
        if len(values) > 1 and name not in (*google.LISTS, "digital_source_type"):
            reasons.append((name, "more than once"))
        for value in values:
            if len(value) > LONGEST.get(name, len(value)):
                reasons.append((name, f"{len(value)} characters, at most {LONGEST[name]}"))
            if value not in ALLOWED.get(name, (value,)):
                reasons.append((name, f"'{value}' is none of {', '.join(ALLOWED[name])}"))
            if name.endswith("link") and not re.match(r"https?://[^\s/]+", value):
                reasons.append((name, f"'{value}' is no address"))
            if name == "digital_source_type" and value not in _SOURCE_TYPES:
                reasons.append((name, f"'{value}' is none of {', '.join(_SOURCE_TYPES[1:])}"))
            if name == "price" and not re.fullmatch(r"\d+(\.\d{1,3})? [A-Z]{3}", value):
                reasons.append((name, f"'{value}' is not a number and a currency"))
            if name == "gtin" and not right_gtin(value):
                reasons.append((name, f"'{value}' is no GTIN"))
    if len(item.get("additional_image_link", [])) > google.MOST_PHOTOS:
        reasons.append(("additional_image_link", f"more than {google.MOST_PHOTOS}"))
    if len(item.get("product_highlight", [])) == 1:
        reasons.append(("product_highlight", f"fewer than {google.FEWEST_HIGHLIGHTS}"))
    return reasons
