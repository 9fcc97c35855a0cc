"""data=catalogue: a table of products, a photo a row."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from skufp.artifacts.products import fields_of, sound
from skufp.artifacts.records import CATALOG, QUERY, CropRecord, Skipped
from skufp.artifacts.split_names import UNKNOWN, not_asked, source_split, splits_of, unknown
from skufp.data.accounts import MissingSplitError
from skufp.data.sources import Source, existing_folder, files_in, whole_image
from skufp.errors import UserError

PER_PHOTO = ("image", "domain", "view", "split")  # columns of a manifest about a photo, not about its product
NO_SKU, NO_IMAGE = "no sku", "no image"
SEVERAL_SPLITS = "SKU in several splits: it is a product of its own in each"


class Catalogue(Source):
    """A table of products: columns sku and image; optionally title, text, category, domain, view, split."""

    def __init__(self, manifest: str | None, root: str | None = None) -> None:
        if not manifest:
            raise UserError("data=catalogue needs a table: add data.manifest=products.csv (or .jsonl, .parquet)")
        self.manifest = Path(manifest)
        if not self.manifest.is_file():
            raise UserError(f"data.manifest={manifest}: there is no such file (looked in {Path.cwd()})")
        self.root = existing_folder(root, "data=catalogue") if root else self.manifest.parent
        self.columns: list[str] = []  # of a table with a header
        self.rows = list(self._rows())
        named = [(_cell(row, "sku"), _cell(row, "split")) for row in self.rows]
        self.splits = splits_of(named)  # of every row
        columns = self.columns or sorted({key for row in self.rows for key in row if key})
        for column in ("sku", "image"):
            if column not in columns:
                raise UserError(
                    f"{manifest}: there is no column '{column}'; it has {', '.join(columns) or 'none'}. Needed: sku,"
                    " image; optional: title, text, category, domain, view, split; others are the product's own"
                )

    def _rows(self) -> Iterator[dict[str, Any]]:
        suffix = self.manifest.suffix.lower()
        if suffix == ".parquet":
            import pyarrow.parquet as pq  # slow to import

            yield from pq.read_table(self.manifest).to_pylist()
            return
        with self.manifest.open(encoding="utf-8-sig", newline="") as file:
            if suffix == ".jsonl":
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield self._json_row(number, line)
            elif suffix in (".csv", ".tsv"):
                table = csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",")
                self.columns = list(table.fieldnames or [])
                yield from table
            else:
                raise UserError(f"{self.manifest}: use a .csv, .tsv, .jsonl or .parquet file")

    def _json_row(self, number: int, line: str) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{self.manifest}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise UserError(f"{self.manifest}, line {number}: each line must be an object with sku and image")
        return row

    def files(self, splits: list[str]) -> dict[str, str]:
        """Return the table and every photo in it, of any split."""
        photos = {image for row in self.rows if (image := _cell(row, "image"))}
        return {f"manifest {self.manifest.name}": str(self.manifest)} | files_in(self.root, photos)

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]:
        """Return the rows of ``split``: by the split column if there is one, else by a hash of the SKU."""
        records, skipped = [], []
        numbers: dict[str, int] = {}
        for number, (row, own) in enumerate(zip(self.rows, self.splits, strict=True), 1):
            sku, image = _cell(row, "sku"), _cell(row, "image")
            pair = numbers.setdefault(sku, len(numbers) + 1)
            if source_split(own) != split:
                continue
            domain = {"user": QUERY, "shop": CATALOG, "": CATALOG}.get(d := _cell(row, "domain").lower(), d)
            if not sku or not image or domain not in (CATALOG, QUERY):
                reason = NO_SKU if not sku else NO_IMAGE if not image else f"unknown domain '{domain[:40]}'"
                skipped.append(Skipped(split, self.manifest.name, number, reason, "row of the manifest"))
                continue
            records.append(whole_image(own, sku, pair, domain, image, number, self._text(row), _cell(row, "category")))
        if not records and not skipped:
            raise MissingSplitError("no product falls into it")
        return records, skipped

    def fields(self, split: str) -> dict[str, dict[str, str]]:
        """Return every SKU's own columns; of several rows, the first with a value counts."""
        found: dict[str, dict[str, str]] = {}
        for row, own in zip(self.rows, self.splits, strict=True):
            if (sku := _cell(row, "sku")) and source_split(own) == split:
                found[sku] = fields_of(row, PER_PHOTO) | found.get(sku, {})
        return found

    def rest(self, splits: Sequence[str]) -> list[Skipped]:
        """Return the rows whose split is unknown or not requested."""
        found = []
        for number, (row, own) in enumerate(zip(self.rows, self.splits, strict=True), 1):
            sku, name = _cell(row, "sku"), _cell(row, "split")
            if own == UNKNOWN:
                found.append(Skipped(name, self.manifest.name, number, unknown(name), sku, sku_id=sku))
            elif source_split(own) not in splits:
                found.append(Skipped(own, self.manifest.name, number, not_asked(own), sku))
        return found

    def notes(self, splits: Sequence[str]) -> list[Skipped]:
        """Return an entry for every SKU whose rows name several of ``splits``."""
        rows: dict[str, dict[str, int]] = {}  # by SKU, split and that split's first row
        for number, (row, own) in enumerate(zip(self.rows, self.splits, strict=True), 1):
            if (sku := _cell(row, "sku")) and source_split(own) in splits:
                rows.setdefault(sku, {}).setdefault(own, number)
        several = {sku: found for sku, found in rows.items() if len(found) > 1}
        return [
            Skipped(min(found, key=found.__getitem__), self.manifest.name, max(found.values()), SEVERAL_SPLITS,
                    f"{sku}: " + ", ".join(f"{split} (from row {first})" for split, first in found.items()))
            for sku, found in several.items()
        ]  # fmt: skip

    def size(self) -> int:
        """Return the number of rows of the table."""
        return len(self.rows)

    @staticmethod
    def _text(row: dict[str, Any]) -> str:
        return _cell(row, "text") or _cell(row, "title")


def _cell(row: dict[str, Any], column: str) -> str:
    """Return a cell as text; empty for a missing value (but a SKU may be the number 0)."""
    value = row.get(column)
    return "" if value is None or value != value else sound(str(value).strip())  # not equal to itself: NaN
