"""Exports of described products: products.csv, Shopify, Google (TSV and XML) and schema.org; one row per product."""

from collections.abc import Callable, Sequence
from pathlib import Path

from skufp.catalogue.described import Described
from skufp.catalogue.exports import google, google_validation, json_ld, products, shopify
from skufp.catalogue.exports.listing import SUPPLY, Listing, Shop, Taxon, listing
from skufp.catalogue.exports.report import ExportReport, Problem

__all__ = ["VALIDATORS", "ExportReport", "Problem", "Shop", "Taxon", "export", "write_products_csv"]

VALIDATORS: dict[str, Callable[[Path], list[Problem]]] = {
    products.FILE: products.validate,
    shopify.FILE: shopify.validate,
    google.TSV_FILE: google_validation.validate_tsv,
    google.XML_FILE: google_validation.validate_xml,
    json_ld.FILE: json_ld.validate,
}
_NEEDS = {shopify.FILE: shopify.NEEDS, google.TSV_FILE: google.NEEDS, json_ld.FILE: json_ld.NEEDS}


def write_products_csv(described: Sequence[Described], folder: Path) -> None:
    """Write products.csv alone, for a run that was interrupted."""
    products.table(described).write(folder / products.FILE)


def export(described: Sequence[Described], folder: Path, shop: Shop | None = None) -> ExportReport:
    """Write all files into ``folder``, each atomically, read them back, and report invalid and missing values.

    Products are in the given order and must have unique ids. A product without copy is only in products.csv, with its
    reason.
    """
    shop = shop or Shop()
    listings = [listing(product, shop) for product in described if product.copy]
    report = ExportReport(left_out={product.sku_id: product.error for product in described if product.error})
    tables = {
        products.FILE: (products.table(described), ","),
        shopify.FILE: (shopify.table(listings, shop.image_rows), ","),
        google.TSV_FILE: (google.table(listings), "\t"),
    }
    for file, (table, delimiter) in tables.items():
        table.write(folder / file, delimiter)
        report.rows[file] = len(table.rows)
        if table.guarded:
            report.guarded[file] = table.guarded
    google.write_xml(folder / google.XML_FILE, listings, shop)
    json_ld.write(folder / json_ld.FILE, listings)
    report.rows |= {google.XML_FILE: len(listings), json_ld.FILE: len(listings)}
    report.problems = [problem for file, validate in VALIDATORS.items() for problem in validate(folder / file)]
    _say_what_is_missing(report, listings, shop)
    return report


def _say_what_is_missing(report: ExportReport, listings: Sequence[Listing], shop: Shop) -> None:
    for file, needs in _NEEDS.items():
        found = {name: [item.sku_id for item in listings if item.lacks(name)] for name in needs}
        if found := {name: skus for name, skus in found.items() if skus}:
            report.missing[file] = found
            report.supply |= {name: SUPPLY[name] for name in found}
    report.faults = [Problem("manifest", item.sku_id, *fault) for item in listings for fault in item.faults]
    report.notes = _notes(listings, shop)


def _notes(listings: Sequence[Listing], shop: Shop) -> list[str]:
    notes = []
    if not shop.image_rows and (more := sum(max(len(item.images) - 1, 0) for item in listings)):
        notes.append(f"{shopify.FILE}: {more} further photos are not in it, one row per product; shop.image_rows=true")
    if beyond := sum(max(len(item.images) - 1 - google.MOST_PHOTOS, 0) for item in listings):
        notes.append(f"{google.TSV_FILE}: {beyond} photos beyond {1 + google.MOST_PHOTOS} per product are not in it")
    if colours := sum(item.colour.lower() in google.NO_COLOURS for item in listings):
        notes.append(f"{google.TSV_FILE}: {colours} colours like 'multicolour' are not in it, Google refuses them")
    points = [point for item in listings for point in item.copy.bullet_points]
    if long := sum(len(point) > google.LONGEST_HIGHLIGHT for point in points):
        notes.append(
            f"{google.TSV_FILE}: {long} bullet points over {google.LONGEST_HIGHLIGHT} characters are not in it"
        )
    if listings and not (shop.name and shop.url):
        notes.append(f"{google.XML_FILE}: the channel's title and link; supply shop.name= and shop.url=")
    return notes
