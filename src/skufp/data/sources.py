"""Where photos come from: every source reads one split into crop records and a list of what it skipped."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from skufp.artifacts.file_names import scan
from skufp.artifacts.products import FILE as PRODUCTS
from skufp.artifacts.products import fields_of, read_fields, sound
from skufp.artifacts.records import CATALOG, QUERY, CropRecord, Skipped
from skufp.data.accounts import MissingSplitError
from skufp.data.exported_lines import lines_of, record_of
from skufp.data.printable_names import is_utf8, printable
from skufp.data.split_names import (
    DEV,
    SPLITS,
    TRAIN,
    UNKNOWN,
    not_asked,
    source_split,
    split_of,
    splits_of,
    unknown,
)
from skufp.errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
PER_PHOTO = ("image", "domain", "view", "split")  # columns of a manifest that speak of a photo, not of its product
TABLE = "_image_text.jsonl"
NO_SKU, NO_IMAGE, NO_RECORD, TWICE = "no sku", "no image", "no record of a photo", "photo named twice"
NO_PHOTO, BAD_NAME = "not a photo by its name", "file name that is not UTF-8"
SEVERAL_SPLITS = "SKU in several splits: it is a product of its own in each"


class Source:
    """A source of photos. ``root`` is the folder that records' ``orig_image_path`` are relative to.

    ``PLACES`` are the settings that say where files lie: what they contain counts (see files()), not their place.
    read_source() in accounts.py asserts that size() is what read() and rest() account for.
    """

    root: Path
    PLACES = ("root", "manifest", "leave_out")

    def files(self, splits: list[str]) -> dict[str, str]:
        """Return the path of every file that reading ``splits`` looks at, missing ones too, by a name that stays."""
        raise NotImplementedError(f"{type(self).__name__} must say which files it reads")

    def open(self, work: Path, workers: int) -> None:
        """Get ready to read; ``work`` is the prepare stage's folder, for sources that make their photos."""

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]:
        """Return the records of one split and what was skipped; raise MissingSplitError if it is not there."""
        raise MissingSplitError(split)

    def rest(self, splits: Sequence[str]) -> list[Skipped]:
        """Return what lies in none of ``splits``, with the reason."""
        raise NotImplementedError(f"{type(self).__name__} must account for what read() does not")

    def notes(self, splits: Sequence[str]) -> list[Skipped]:
        """Return what is kept, but maybe otherwise than its author means."""
        return []

    def size(self) -> int:
        """Return how many rows (photos, items) the source holds, of all splits; called after read() and rest()."""
        raise NotImplementedError(f"{type(self).__name__} must count its rows")

    def fields(self, split: str) -> dict[str, dict[str, str]]:
        """Return what the source says of each SKU of ``split`` in words, by column; SKUs may be missing."""
        return read_fields(self.root / PRODUCTS, split)


def existing_folder(root: str | None, what: str) -> Path:
    """Return ``root`` as a path, or say what to type."""
    if not root:
        raise UserError(f"{what} needs a folder: add data.root=<folder>")
    if not Path(root).is_dir():
        raise UserError(f"data.root={root}: there is no such folder (looked in {Path.cwd()})")
    return Path(root)


class Prepared(Source):
    """A folder that `data.export_to` laid out: records and masks are read back, images are not cropped again."""

    def __init__(self, root: str | None) -> None:
        self.root = existing_folder(root, "data=prepared")
        if not any(self.root.glob("*_image_text.jsonl")):
            raise UserError(f"data.root={root}: no <split>_image_text.jsonl there; data=prepared reads what"
                            " stage=prepare data.export_to=<folder> wrote")  # fmt: skip

    def files(self, splits: list[str]) -> dict[str, str]:
        """Name the tables of the splits, and every photo and mask in them."""
        tables = [table for split in splits for table in self._tables_of(split)]
        inside = [name for table in tables if table.is_file() for name in _photos_and_masks(table)]
        return _in(self.root, [PRODUCTS, *(table.name for table in tables), *inside])

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]:
        """Read `<split>_image_text.jsonl`; dev comes back inside train and is carved out again."""
        files = self._tables_of(split)
        if not any(file.exists() for file in files):
            raise MissingSplitError(f"{files[0].name} is not there")
        records, skipped = [], []
        seen: set[str] = set()
        for file in filter(Path.exists, files):
            for number, line in lines_of(file):
                record = record_of(line)
                if isinstance(record, str):
                    skipped.append(Skipped(split, file.name, number, NO_RECORD, record))
                    continue
                if (view := f"{record.domain}/{record.sku_id}/{record.view_id}") in seen:
                    skipped.append(Skipped(split, file.name, number, TWICE, view))
                    continue
                seen.add(view)
                record.split, record.orig_image_path, record.bbox = split, record.image_path, None
                record.outline = self.root / record.mask_path if record.mask_path else None
                records.append(record)
        return records, skipped

    def rest(self, splits: Sequence[str]) -> list[Skipped]:
        """Return a row for every table whose split was not asked for, or means none."""
        found = []
        for file in self._tables():
            name = file.name.removesuffix(TABLE)
            if source_split(name) in splits:
                continue
            reason = not_asked(name) if name in (*SPLITS, DEV) else unknown(name)
            found.append(Skipped(name, file.name, None, reason, "its lines", sum(1 for _ in lines_of(file))))
        return [row for row in found if row.count]

    def size(self) -> int:
        """Return the number of lines, of all tables."""
        return sum(1 for file in self._tables() for _ in lines_of(file))

    def _tables(self) -> list[Path]:
        return sorted(self.root.glob(f"*{TABLE}"))

    def _tables_of(self, split: str) -> list[Path]:
        return [self.root / f"{s}{TABLE}" for s in ([split, DEV] if split == TRAIN else [split])]

    def fields(self, split: str) -> dict[str, dict[str, str]]:
        """Return what was laid out; dev's with train's."""
        dev = super().fields("dev") if split == "train" else {}
        return dev | super().fields(split)


def _photos_and_masks(table: Path) -> Iterator[str]:
    """Yield the files that the records of ``table`` name; a line that is no record is a row of the report."""
    for _, line in lines_of(table):
        record = record_of(line)
        if isinstance(record, CropRecord):
            yield from filter(None, (record.image_path, record.mask_path))


def _in(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Return where files of ``root`` lie, by their names relative to it."""
    return {name: os.path.join(root, name) for name in names}


class Catalogue(Source):
    """A table of products: columns sku and image; optionally title, text, category, domain, view, split."""

    def __init__(self, manifest: str | None, root: str | None = None) -> None:
        if not manifest:
            raise UserError("data=catalogue needs a table: add data.manifest=products.csv (or .jsonl, .parquet)")
        self.manifest = Path(manifest)
        if not self.manifest.is_file():
            raise UserError(f"data.manifest={manifest}: there is no such file (looked in {Path.cwd()})")
        self.root = existing_folder(root, "data=catalogue") if root else self.manifest.parent
        self.columns: list[str] = []  # of a table that names them
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
            import pyarrow.parquet as pq  # it takes its time, and only this needs it

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
        """Name the table and every photo in it, whatever its split."""
        photos = {image for row in self.rows if (image := _cell(row, "image"))}
        return {f"manifest {self.manifest.name}": str(self.manifest)} | _in(self.root, photos)

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]:
        """Return the rows of ``split``: by the split column where there is one, else by a hash of the SKU."""
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
        """Return every SKU's own columns; of several rows, the first that fills a column says it."""
        found: dict[str, dict[str, str]] = {}
        for row, own in zip(self.rows, self.splits, strict=True):
            if (sku := _cell(row, "sku")) and source_split(own) == split:
                found[sku] = fields_of(row, PER_PHOTO) | found.get(sku, {})
        return found

    def rest(self, splits: Sequence[str]) -> list[Skipped]:
        """Return the rows whose split's name means none, or was not asked for."""
        found = []
        for number, (row, own) in enumerate(zip(self.rows, self.splits, strict=True), 1):
            sku, name = _cell(row, "sku"), _cell(row, "split")
            if own == UNKNOWN:
                found.append(Skipped(name, self.manifest.name, number, unknown(name), sku, sku_id=sku))
            elif source_split(own) not in splits:
                found.append(Skipped(own, self.manifest.name, number, not_asked(own), sku))
        return found

    def notes(self, splits: Sequence[str]) -> list[Skipped]:
        """Return a line for every SKU whose rows name several of ``splits``."""
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
    """Return a cell as text; empty where there is none (a SKU may be the number 0)."""
    value = row.get(column)
    return "" if value is None or value != value else sound(str(value).strip())  # not equal to itself: NaN


class PhotoFolder(Source):
    """A folder per SKU, or a flat folder where each file is its own product.

    The folders in ``leave_out`` are not looked into: stage folders may lie among the photos, and hold photos too.
    """

    def __init__(self, root: str | None, leave_out: list[str] | None = None) -> None:
        self.root = existing_folder(root, "data=folder")
        self.names, self.closed = scan(self.root, leave_out or [])
        self.photos = [name for name in self.names if _is_photo(name)]
        if not self.photos:
            raise UserError(f"data.root={root}: no photos there (looked for {' '.join(sorted(IMAGE_SUFFIXES))})")

    def files(self, splits: list[str]) -> dict[str, str]:
        """Name every photo, whatever its split: photos are numbered."""
        return _in(self.root, [PRODUCTS, *self.photos])

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]:
        """Return the photos whose SKU a hash puts into ``split``."""
        records = []
        numbers: dict[str, int] = {}
        for number, photo in enumerate(self.photos, 1):
            sku = photo.partition("/")[0]
            pair = numbers.setdefault(sku, len(numbers) + 1)
            if split_of(sku) == split:
                records.append(whole_image(split, sku, pair, CATALOG, photo, number, ""))
        if not records:
            raise MissingSplitError("no product falls into it")
        return records, []

    def rest(self, splits: Sequence[str]) -> list[Skipped]:
        """Return the photos of splits that were not asked for, the files that are no photos, and closed folders."""
        found = [Skipped("", printable(name), None, reason) for name, reason in self.closed.items()]
        for name in self.names:
            if not is_utf8(name):
                found.append(Skipped("", printable(name), None, BAD_NAME))
            elif not _is_photo(name):
                found.append(Skipped("", name, None, NO_PHOTO))
            elif (split := split_of(name.partition("/")[0])) not in splits:
                found.append(Skipped(split, name, None, not_asked(split)))
        return found

    def size(self) -> int:
        """Return the number of files, and of folders that were not entered."""
        return len(self.names) + len(self.closed)


def _is_photo(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and is_utf8(name)


def whole_image(
    split: str, sku: str, pair: int, domain: str, image: str, number: int, text: str, category: str = ""
) -> CropRecord:
    """Return the record of a photo that is used as it is."""
    return CropRecord(
        split=split, sku_id=sku, pair_id=pair, style=1, category_id=0, category_name=category, domain=domain,
        image_path="", orig_image_path=image, image_id=f"{number:06d}", item_idx=1, bbox=None, occlusion=0, viewpoint=0,
        text=text,
    )  # fmt: skip
