"""Shopify's product CSV, with the column names of its template since 2024 (help.shopify.com, "Using CSV files").

One row is one product. Further photos are further rows that repeat the handle and hold only a photo; they are written
with Shop.image_rows, and left out by default so that the number of rows is the number of products.

Products are imported as drafts, so that people review machine-written copy first. A column without any value is left
out, because an empty column erases the shop's values when an import overwrites products.
"""

import html
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from skufp.catalogue.exports.cells import Table, clean, flat, read_table, runs_in_a_spreadsheet
from skufp.catalogue.exports.listing import AGE_GROUPS, CONDITIONS, GENDERS, Listing
from skufp.catalogue.exports.report import Problem

FILE = "shopify_products.csv"
NEEDS = ("price", "image", "brand", "shopify_category")
CORE = (
    "Title", "URL handle", "Description", "Type", "Tags", "Published on online store", "Status", "SKU",
    "Option1 name", "Option1 value", "SEO title", "SEO description",
)  # fmt: skip
OPTIONAL = (
    "Vendor", "Product category", "Barcode", "Price", "Product image URL", "Image position", "Image alt text",
    "Google Shopping / Google product category", "Google Shopping / Gender", "Google Shopping / Age group",
    "Google Shopping / Manufacturer part number (MPN)", "Google Shopping / Condition",
)  # fmt: skip
# In the template's order.
COLUMNS = (
    "Title", "URL handle", "Description", "Vendor", "Product category", "Type", "Tags", "Published on online store",
    "Status", "SKU", "Barcode", "Option1 name", "Option1 value", "Price", "Product image URL", "Image position",
    "Image alt text", "SEO title", "SEO description", *OPTIONAL[7:],
)  # fmt: skip
LONGEST = {"Title": 255, "URL handle": 255, "SEO title": 70, "SEO description": 160, "SKU": 255, "Image alt text": 512}
ALLOWED = {
    "Status": ("active", "draft", "archived"),
    "Published on online store": ("TRUE", "FALSE"),
    "Google Shopping / Gender": ("", *GENDERS),
    "Google Shopping / Age group": ("", *AGE_GROUPS),
    "Google Shopping / Condition": ("", *CONDITIONS),
}
MOST_TAGS, LONGEST_TAG = 250, 255


def table(listings: Sequence[Listing], image_rows: bool = False) -> Table:
    """Return the table: a row per product, and with ``image_rows`` one more for each photo after the first."""
    rows = [row for item in listings for row in _rows(item, image_rows)]
    used = {column for row in rows for column, cell in row.items() if cell}
    out = Table([column for column in COLUMNS if column in used or column in CORE], "URL handle")
    for row in rows:
        out.add({column: cell for column, cell in row.items() if cell})
    return out


def _rows(item: Listing, image_rows: bool) -> list[dict[str, str]]:
    copy = item.copy
    first = {
        "Title": flat(copy.title),
        "URL handle": item.handle,
        "Description": body(copy.description, copy.bullet_points),
        "Vendor": item.brand,
        "Product category": item.taxon.shopify,
        "Type": item.product.facts.category,
        "Tags": ", ".join(tag.replace(",", " ") for tag in copy.seo_tags),  # a comma ends a tag
        "Published on online store": "FALSE",
        "Status": "draft",
        "SKU": item.sku_id,
        "Barcode": item.gtin,
        "Option1 name": "Title",  # Shopify's name for the only variant of a product without options
        "Option1 value": "Default Title",
        "Price": item.price,
        "SEO title": shortened(copy.title, LONGEST["SEO title"]),
        "SEO description": shortened(copy.style_summary, LONGEST["SEO description"]),
        "Google Shopping / Google product category": item.taxon.google,
        "Google Shopping / Gender": item.gender,
        "Google Shopping / Age group": item.age_group,
        "Google Shopping / Manufacturer part number (MPN)": item.mpn,
        "Google Shopping / Condition": item.condition,
    }
    photos = [
        {"Product image URL": url, "Image position": str(place), "Image alt text": flat(copy.title)}
        for place, url in enumerate(item.images[: None if image_rows else 1], 1)
    ]
    return [first | (photos[0] if photos else {}), *({"URL handle": item.handle} | photo for photo in photos[1:])]


def body(description: str, bullet_points: Sequence[str]) -> str:
    """Return the description as HTML: a paragraph for each block of text, then the bullet points."""
    paragraphs = [flat(block) for block in re.split(r"\n\s*\n", clean(description))]
    texts = [f"<p>{html.escape(text, quote=False)}</p>" for text in paragraphs if text]
    items = "".join(f"<li>{html.escape(flat(point), quote=False)}</li>" for point in bullet_points)
    return "".join(texts) + f"<ul>{items}</ul>"


def shortened(text: str, longest: int) -> str:
    """Return ``text`` in one line of at most ``longest`` characters, cut between words."""
    line = flat(text)
    if len(line) <= longest:
        return line
    head = line[: longest - 1]
    cut = head[: head.rfind(" ")] if " " in head and line[longest - 1].isalnum() else head
    return cut.rstrip(" ,;:.-") + "…"


def validate(path: Path) -> list[Problem]:
    """Return the problems by Shopify's rules: columns, lengths, values, repeated ids, photos without a product."""
    header, rows = read_table(path)
    problems = [Problem(path.name, "", column, "column is missing") for column in CORE if column not in header]
    problems += [Problem(path.name, "", c, "Shopify has no such column") for c in header if c not in COLUMNS]
    handles: set[str] = set()
    skus: set[str] = set()
    for cells in [] if problems else rows:
        row = dict.fromkeys(COLUMNS, "") | dict(zip(header, cells, strict=False))
        handle = row["URL handle"]
        reasons = [("row", f"{len(cells)} cells, not {len(header)}")] if len(cells) != len(header) else []
        reasons += [
            (column, "might be run as a formula") for column, cell in row.items() if runs_in_a_spreadsheet(cell)
        ]
        if row["Title"]:
            reasons += _product_reasons(row)
            reasons += [("URL handle", "twice")] if handle in handles else []
            reasons += [("SKU", "twice")] if row["SKU"] in skus else []
            handles.add(handle)
            skus.add(row["SKU"])
        elif handle not in handles or not row["Product image URL"]:
            reasons.append(("Title", "empty, and the row is no photo of a product above it"))
        problems += [Problem(path.name, handle, column, reason) for column, reason in reasons]
    return problems


def _product_reasons(row: dict[str, str]) -> list[tuple[str, str]]:
    reasons = [
        (column, f"{len(row[column])} characters, at most {longest}")
        for column, longest in LONGEST.items()
        if len(row[column]) > longest
    ]
    reasons += [
        (c, f"'{row[c]}' is none of {', '.join(allowed)}") for c, allowed in ALLOWED.items() if row[c] not in allowed
    ]
    if not re.fullmatch(r"[^\W_]+(?:-[^\W_]+)*", row["URL handle"]):
        reasons.append(("URL handle", "only letters, digits and single hyphens"))
    if not row["SKU"]:
        reasons.append(("SKU", "empty"))
    if row["Price"] and not _is_price(row["Price"]):
        reasons.append(("Price", f"'{row['Price']}' is no number"))
    tags = row["Tags"].split(", ")
    if len(tags) > MOST_TAGS or max(map(len, tags)) > LONGEST_TAG:
        reasons.append(("Tags", f"at most {MOST_TAGS} tags of at most {LONGEST_TAG} characters"))
    if row["Product image URL"] and not row["Product image URL"].startswith(("https://", "http://")):
        reasons.append(("Product image URL", "no address"))
    return reasons


def _is_price(cell: str) -> bool:
    try:
        return Decimal(cell).is_finite() and Decimal(cell) >= 0
    except InvalidOperation:
        return False
