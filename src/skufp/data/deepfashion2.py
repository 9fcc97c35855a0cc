"""The DeepFashion2 reader: annotation files become crop records, and whatever does not is reported.

Schema: https://github.com/switchablenorms/DeepFashion2, "Data Organization".
"""

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skufp.artifacts.file_names import files_under
from skufp.artifacts.products import FILE as PRODUCTS
from skufp.artifacts.records import CATALOG, QUERY, CropRecord, Skipped
from skufp.data.captions import template_caption
from skufp.data.sources import MissingSplitError, Source, existing_folder
from skufp.errors import UserError

CATEGORIES = {
    1: "short sleeve top", 2: "long sleeve top", 3: "short sleeve outwear", 4: "long sleeve outwear", 5: "vest",
    6: "sling", 7: "shorts", 8: "trousers", 9: "skirt", 10: "short sleeve dress", 11: "long sleeve dress",
    12: "vest dress", 13: "sling dress",
}  # fmt: skip
DOMAINS = {"shop": CATALOG, "user": QUERY}
SKU_KEYS = ("pair_style_category", "pair_style")


class DeepFashion2(Source):
    """A folder `{train,validation,test}/{image,annos}`.

    ``sku_key``: ``pair_style_category`` (ours) or ``pair_style`` (the official protocol's).
    """

    def __init__(self, root: str | None, sku_key: str = "pair_style_category") -> None:
        self.root = existing_folder(root, "data=deepfashion2")
        if sku_key not in SKU_KEYS:
            raise UserError(f"data.sku_key={sku_key}: choose {' or '.join(SKU_KEYS)}")
        self.sku_key = sku_key
        if not any((self.root / split / "image").is_dir() for split in ("train", "validation", "test")):
            inside = ", ".join(sorted(p.name for p in self.root.iterdir())[:5]) or "nothing"
            raise UserError(
                f"data.root={root} is not in DeepFashion2 layout: expected train/image and train/annos"
                f" (or validation/, test/) in it, found {inside}"
            )

    def files(self, splits: list[str]) -> dict[str, str]:
        """Name everything in the splits' image/ and annos/: an image without an annotation is a row of the report."""
        folders = [f"{split}/{kind}" for split in splits for kind in ("image", "annos")]
        inside = [folder for folder in folders if (self.root / folder).is_dir()]
        names = [f"{folder}/{name}" for folder in inside for name in files_under(self.root / folder)]
        return {name: str(self.root / name) for name in [PRODUCTS, *names]}

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]:
        """Return the items with a style, and what was skipped: broken files, style 0, boxes without area."""
        folder = self.root / split
        if not folder.is_dir():
            raise MissingSplitError(f"{folder} is not there")
        if not (folder / "annos").is_dir():
            raise MissingSplitError(f"{folder} has no annos/ (no labels)")
        images = {}
        if (folder / "image").is_dir():
            images = {os.path.splitext(name)[0]: name for name in os.listdir(folder / "image")}
        records: list[CropRecord] = []
        skipped: list[Skipped] = []
        for path in sorted((folder / "annos").glob("*.json")):
            self._read_file(split, path, images, records, skipped)
        annotated = {path.stem for path in (folder / "annos").glob("*.json")}
        skipped += [Skipped(split, f"{split}/image/{images[i]}", None, "image without an annotation")
                    for i in sorted(set(images) - annotated)]  # fmt: skip
        if self.sku_key == "pair_style":
            _one_category_per_sku(records)
        return records, skipped

    def _read_file(
        self,
        split: str,
        path: Path,
        images: dict[str, str],
        records: list[CropRecord],
        skipped: list[Skipped],
    ) -> None:
        name = f"{split}/annos/{path.name}"
        try:
            annotation = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            skipped.append(Skipped(split, name, None, "broken JSON", str(error)))
            return
        try:
            source, pair_id = DOMAINS[annotation["source"]], int(annotation["pair_id"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            skipped.append(Skipped(split, name, None, "annotation lacks source or pair_id", repr(error)))
            return
        if path.stem not in images:
            skipped.append(Skipped(split, name, None, "annotation without an image"))
            return
        for index, item in _items(annotation):
            reason, detail = _fault(item)
            if reason:
                skipped.append(Skipped(split, name, index, reason, detail))
                continue
            image = f"{split}/image/{images[path.stem]}"
            records.append(self._record(split, source, pair_id, path.stem, image, index, item))

    def _record(
        self,
        split: str,
        domain: str,
        pair_id: int,
        image_id: str,
        image: str,
        index: int,
        item: dict[str, Any],
    ) -> CropRecord:
        style, category_id = int(item["style"]), int(item["category_id"])
        category = str(item.get("category_name") or CATEGORIES.get(category_id, "garment"))
        sku_id = f"{pair_id:06d}_{style:02d}"
        if self.sku_key == "pair_style_category":
            sku_id += f"_{category_id:02d}"
        occlusion, viewpoint = _grade(item, "occlusion"), _grade(item, "viewpoint")
        return CropRecord(
            split=split, sku_id=sku_id, pair_id=pair_id, style=style, category_id=category_id, category_name=category,
            domain=domain, image_path="", orig_image_path=image, image_id=image_id, item_idx=index,
            bbox=[int(v) for v in item["bounding_box"]], occlusion=occlusion, viewpoint=viewpoint,
            text=template_caption(domain, category, occlusion, viewpoint),
            scale=_grade(item, "scale"), zoom_in=_grade(item, "zoom_in"),
            outline=(item.get("segmentation") or None) if domain == CATALOG else None,
        )  # fmt: skip


def _items(annotation: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    for key, value in annotation.items():
        if key.startswith("item") and key[4:].isdigit():
            yield int(key[4:]), value


def _fault(item: Any) -> tuple[str, str]:
    """Return why an item cannot be used, or empty strings."""
    try:
        style, box = int(item["style"]), [int(v) for v in item["bounding_box"]]
        int(item["category_id"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return "item lacks style, category_id or bounding_box", repr(error)
    if style == 0:
        return "style 0 (no partner)", ""
    if len(box) != 4 or box[2] <= box[0] or box[3] <= box[1]:
        return "empty box", str(item["bounding_box"])
    return "", ""


def _grade(item: dict[str, Any], field: str) -> int:
    """Return occlusion, viewpoint, scale or zoom_in; 0, unknown, where it is missing or no number."""
    value = item.get(field)
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else 0


def _one_category_per_sku(records: list[CropRecord]) -> None:
    """Give every SKU its most frequent category: with the official key its items may disagree."""
    votes: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    for r in records:
        votes[r.sku_id][(r.category_id, r.category_name)] += 1
    for r in records:
        r.category_id, r.category_name = votes[r.sku_id].most_common(1)[0][0]
