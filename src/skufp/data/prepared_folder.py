"""data=prepared: a folder that stage=prepare laid out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from skufp.artifacts.products import FILE as PRODUCTS
from skufp.artifacts.records import CropRecord, Skipped
from skufp.artifacts.split_names import DEV, SPLITS, TRAIN, not_asked, source_split, unknown
from skufp.data.accounts import MissingSplitError
from skufp.data.exported_lines import lines_of, record_of
from skufp.data.sources import Source, existing_folder, files_in
from skufp.errors import UserError

TABLE = "_image_text.jsonl"
NO_RECORD, TWICE = "no record of a photo", "photo named twice"


class Prepared(Source):
    """A folder that `data.export_to` laid out: records and masks are read back, images are not cropped again."""

    def __init__(self, root: str | None) -> None:
        self.root = existing_folder(root, "data=prepared")
        if not any(self.root.glob("*_image_text.jsonl")):
            raise UserError(f"data.root={root}: no <split>_image_text.jsonl there; data=prepared reads what"
                            " stage=prepare data.export_to=<folder> wrote")  # fmt: skip

    def files(self, splits: list[str]) -> dict[str, str]:
        """Return the tables of the splits, and every photo and mask in them."""
        tables = [table for split in splits for table in self._tables_of(split)]
        inside = [name for table in tables if table.is_file() for name in _photos_and_masks(table)]
        return files_in(self.root, [PRODUCTS, *(table.name for table in tables), *inside])

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
        """Return a row for every table whose split is not requested or unknown."""
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
        """Return the exported columns; dev's with train's."""
        dev = super().fields("dev") if split == "train" else {}
        return dev | super().fields(split)


def _photos_and_masks(table: Path) -> Iterator[str]:
    """Yield the files that the records of ``table`` name; invalid lines are skipped here and reported elsewhere."""
    for _, line in lines_of(table):
        record = record_of(line)
        if isinstance(record, CropRecord):
            yield from filter(None, (record.image_path, record.mask_path))
