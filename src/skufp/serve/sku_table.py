"""The SKU table and the views of a bundle: rows are read on access, vectors stay on the disk."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from skufp.artifacts.products import Product, same
from skufp.artifacts.vectors import VectorTable, design_numbers

# The columns that every SKU has; the stages' own numbers (pair_id, style, views, …) come after them.
COLUMNS = ("id", "split", "sku_id", "category_name", "photo", "fields", "attributes")
FIELDS = pa.map_(pa.string(), pa.string())  # the source's own columns, name -> value
ATTRIBUTES = pa.list_(
    pa.struct([("name", pa.string()), ("value", pa.string()), ("confidence", pa.float64()), ("source", pa.string())])
)
CORRECTED = "override"  # the source of an attribute that a person wrote


class SkuTable:
    """SKUs by their number, their row in ``table``: the ids of an index are these numbers."""

    def __init__(self, table: pa.Table, vectors: np.ndarray | None = None) -> None:
        self.table, self.vectors = table, vectors
        self.ids: list[str] = table["id"].to_pylist()
        self.splits: list[str] = table["split"].to_pylist()
        self.sku_ids: list[str] = table["sku_id"].to_pylist()
        self.categories: list[str] = table["category_name"].to_pylist()

    @cached_property
    def numbers(self) -> dict[tuple[str, str], int]:
        """The number of each SKU by (split, sku_id)."""
        return {key: i for i, key in enumerate(zip(self.splits, self.sku_ids, strict=True))}

    @cached_property
    def designs(self) -> np.ndarray:
        """A number for each SKU [S], equal for SKUs that differ in colour alone."""
        return design_numbers(self.table)

    def row(self, number: int) -> dict[str, Any]:
        """Return a SKU's row."""
        return self.table.slice(number, 1).to_pylist()[0]

    def fields(self, number: int) -> dict[str, str]:
        """Return the source's own columns of a SKU."""
        return dict(self.row(number).get("fields") or [])

    def attributes(self, number: int) -> dict[str, str]:
        """Return the attributes of a SKU, as stage=attributes found them."""
        return {each["name"]: each["value"] for each in self.row(number).get("attributes") or []}

    def photo(self, number: int) -> str:
        """Return a SKU's first photo, relative to the folder that was indexed; its public id where none is known."""
        return self.row(number).get("photo") or self.ids[number]

    @cached_property
    def facts(self) -> dict[tuple[str, str], dict[str, str]]:
        """The facts for filters: each SKU's fields, and its attributes from pictures and people."""
        from skufp.serve.filters import facts_of

        rows = self.table.select([name for name in COLUMNS if name in self.table.column_names]).to_pylist()
        known = facts_of(
            Product(row["split"], row["sku_id"], row["category_name"] or "", dict(row.get("fields") or []))
            for row in rows
        )
        for row in rows:
            of_sku = known[row["split"], row["sku_id"]]
            for each in row.get("attributes") or []:
                name = same(each["name"])
                own = "" if each["source"] == CORRECTED else of_sku.get(name, "")
                of_sku[name] = ", ".join(dict.fromkeys(text for text in (own, each["value"]) if text))
        return known

    def __len__(self) -> int:
        return len(self.ids)


class SkuViews:
    """The views of all SKUs, grouped by SKU in the order of SKU numbers (the column ``sku``)."""

    def __init__(self, views: VectorTable, skus: int) -> None:
        self.views = views
        self.starts = np.searchsorted(views.column("sku"), np.arange(skus + 1))  # [S + 1]: a SKU's first row

    def of(self, number: int) -> slice:
        """Return the rows of a SKU."""
        return slice(int(self.starts[number]), int(self.starts[number + 1]))

    def nearest(self, query: np.ndarray | None, number: int) -> tuple[Mapping[str, Any], float | None]:
        """Return the row of the SKU's view nearest to ``query`` [D], and its cosine; without a query its first view."""
        own = self.of(number)
        if query is None:
            return self.views.rows.slice(own.start, 1).to_pylist()[0], None
        similarity = np.asarray(self.views.vectors[own]) @ query
        best = int(similarity.argmax())
        return self.views.rows.slice(own.start + best, 1).to_pylist()[0], float(similarity[best])

    def __len__(self) -> int:
        return len(self.views)
