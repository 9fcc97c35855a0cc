"""products.csv: the facts and the copy of every product, or its error, for people."""

from collections.abc import Sequence
from pathlib import Path

from skufp.catalogue.described import Described
from skufp.catalogue.exports.cells import SEPARATOR, Table, joined, read_table, runs_in_a_spreadsheet
from skufp.catalogue.exports.report import Problem
from skufp.catalogue.metadata import ProductCopy

FILE = "products.csv"
BULLETS = [f"bullet_point_{number}" for number in range(1, 7)]
FIRST = ("sku_id", "error", "category", "title", *BULLETS, "description", "style_summary", "seo_tags")
LAST = ("written_by_model", "written_by_template", "similar", "images")


def table(products: Sequence[Described]) -> Table:
    """Return the table: a row per product in the given order.

    Each attribute has its value, confidence and source; each column of the manifest is repeated as ``manifest_…``. The
    columns are those of all products, in alphabetical order.
    """
    attributes = sorted({name for product in products for name in product.facts.attributes})
    fields = sorted({name for product in products for name in product.facts.fields})
    seen = [column for name in attributes for column in _columns(name)]
    out = Table([*FIRST, *seen, *(f"manifest_{name}" for name in fields), *LAST], "sku_id")
    for product in products:
        out.add(_row(product))
    return out


def _columns(attribute: str) -> tuple[str, str, str]:
    name = f"attribute_{attribute}" if attribute in (*FIRST, *LAST) else attribute
    return name, f"{name}_confidence", f"{name}_source"


def _row(product: Described) -> dict[str, str]:
    row = {"sku_id": product.sku_id, "error": product.error, "category": product.facts.category}
    if copy := product.copy:
        row |= {name: getattr(copy, name) for name in ("title", "description", "style_summary")}
        row |= dict(zip(BULLETS, copy.bullet_points, strict=False)) | {"seo_tags": joined(copy.seo_tags)}
    for name, value in product.facts.attributes.items():
        row |= zip(_columns(name), (value.value, f"{value.confidence:.4f}", value.source), strict=True)
    row |= {f"manifest_{name}": value for name, value in product.facts.fields.items()}
    for writer in ("model", "template"):
        row[f"written_by_{writer}"] = ", ".join(name for name, by in product.written_by.items() if by == writer)
    row["similar"] = joined(f"{item['sku_id']} ({item['score']:.3f})" for item in product.similar)
    row["images"] = joined(product.images)
    return row


def validate(path: Path) -> list[Problem]:
    """Return the problems of a products.csv: columns, unique ids, copy outside its schema, formulas."""
    header, rows = read_table(path)
    problems = [
        Problem(path.name, "", column, "column is missing") for column in (*FIRST, *LAST) if column not in header
    ]
    if len(set(header)) < len(header):
        problems.append(Problem(path.name, "", "header", "a column occurs twice"))
    ids: set[str] = set()
    for cells in [] if problems else rows:
        row = dict(zip(header, cells, strict=False))
        sku = row.get("sku_id", "")
        reasons = [("row", f"{len(cells)} cells, not {len(header)}")] if len(cells) != len(header) else []
        reasons += [("sku_id", "empty" if not sku else "twice")] if not sku or sku in ids else []
        reasons += [
            (column, "might be run as a formula") for column, cell in row.items() if runs_in_a_spreadsheet(cell)
        ]
        reasons += _copy_reasons(row) if not reasons and not row["error"] else []
        problems += [Problem(path.name, sku, column, reason) for column, reason in reasons]
        ids.add(sku)
    return problems


def _copy_reasons(row: dict[str, str]) -> list[tuple[str, str]]:
    bare = {name: cell[1:] if runs_in_a_spreadsheet(cell[1:]) else cell for name, cell in row.items()}
    try:
        ProductCopy(
            title=bare["title"], description=bare["description"], style_summary=bare["style_summary"],
            bullet_points=[bare[name] for name in BULLETS if bare[name]],
            seo_tags=bare["seo_tags"].split(SEPARATOR),
        )  # fmt: skip
    except ValueError as error:
        return [("copy", " ".join(str(error).split()))]
    return []
