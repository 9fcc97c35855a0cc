"""One record per crop, for every later stage, as JSONL and as WebDataset metadata."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

CATALOG, QUERY = "catalog", "query"


@dataclass
class CropRecord:
    """One product photo: a crop by its box, or a whole image.

    ``sku_id`` is unique only within ``split``: pair ids restart in every split. ``pool`` is the use of a train query:
    ``learn`` (trains the retriever) or ``held_out`` (selects the retriever's weight average and the teachers, and
    labels actions).
    ``text`` names the category and the view; ``rich_text`` lists the SKU's labels, the same for all its photos, ""
    without labels.
    ``bbox`` is [x1, y1, x2, y2] in pixels of the original image, None for a whole image. ``mask_path`` is the
    garment's mask in the crop's frame, "" if there is none. ``outline`` is the source of the mask, and is not written:
    polygons in pixels of the original image, or the file (a Path) of its mask; None if there is neither.
    """

    split: str
    sku_id: str
    pair_id: int
    style: int
    category_id: int
    category_name: str
    domain: str
    image_path: str
    orig_image_path: str
    image_id: str
    item_idx: int
    bbox: list[int] | None
    occlusion: int
    viewpoint: int
    text: str
    rich_text: str = ""
    scale: int = 0
    zoom_in: int = 0
    pool: str = ""
    mask_path: str = ""
    outline: Any = field(default=None, repr=False, compare=False)

    @property
    def view_id(self) -> str:
        """Unique within a split: image and item."""
        return f"{self.image_id}_item{self.item_idx}"

    @property
    def sku(self) -> tuple[str, str]:
        """The key that joins records: split and sku_id."""
        return self.split, self.sku_id

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "CropRecord":
        """Make a record from a JSON row; unknown keys are ignored."""
        return cls(**{f.name: row[f.name] for f in fields(cls) if f.name in row})

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a JSON row, without the outline."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "outline"}


@dataclass(frozen=True)
class Skipped:
    """A part of the source that was left out, and the reason.

    ``count`` is the number of rows of the source in this entry: a split that is not requested is one entry. ``sku_id``
    is set for rows of an unknown split, where a whole product may be left out.
    """

    split: str
    file: str
    item: int | None
    reason: str
    detail: str = ""
    count: int = 1
    sku_id: str = ""


def write_records(path: Path, records: Iterable[CropRecord]) -> None:
    """Write records as JSONL (`<split>_image_text.jsonl`)."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(r.to_dict(), ensure_ascii=False) + "\n" for r in records)


def read_records(path: Path) -> list[CropRecord]:
    """Read what write_records wrote."""
    with path.open(encoding="utf-8") as file:
        return [CropRecord.from_dict(json.loads(line)) for line in file if line.strip()]


def sku_metadata(records: Iterable[CropRecord]) -> dict[str, dict[str, Any]]:
    """Group records by SKU: the content of `<split>_sku_metadata.json`."""
    skus: dict[str, dict[str, Any]] = {}
    for r in records:
        sku = skus.setdefault(
            r.sku_id,
            {"split": r.split, "sku_id": r.sku_id, "pair_id": r.pair_id, "style": r.style,
             "category_id": r.category_id, "category_name": r.category_name, CATALOG: [], QUERY: []},
        )  # fmt: skip
        sku[r.domain].append(r.image_path)
    return skus


def safe_name(name: str) -> str:
    """Return ``name`` as part of a file name and WebDataset key: injective, without dots, spaces and separators."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:80] or "item"
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
