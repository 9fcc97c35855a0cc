"""The DeepFashion2 reader: annotation files become crop records; unusable items are reported.

Schema: https://github.com/switchablenorms/DeepFashion2, "Data Organization".
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skufp.artifacts.file_names import files_under
from skufp.artifacts.products import FILE as PRODUCTS
from skufp.artifacts.products import sound
from skufp.artifacts.records import CATALOG, QUERY, CropRecord, Skipped
from skufp.artifacts.split_names import DEV, SPLITS, UNKNOWN, VALIDATION, meaning, not_asked, unknown
from skufp.data.accounts import MissingSplitError
from skufp.data.captions import template_caption
from skufp.data.deepfashion2_items import fault, grade, items, number, one_category_per_sku
from skufp.data.printable_names import is_utf8, printable
from skufp.data.sources import BAD_NAME, Source, existing_folder
from skufp.errors import UserError

DOMAINS = {"shop": CATALOG, "user": QUERY}
ALONE, SAME_STEM = "image without an annotation", "file whose name differs from another's in its ending alone"

CATEGORIES = {
    1: "short sleeve top", 2: "long sleeve top", 3: "short sleeve outwear", 4: "long sleeve outwear", 5: "vest",
    6: "sling", 7: "shorts", 8: "trousers", 9: "skirt", 10: "short sleeve dress", 11: "long sleeve dress",
    12: "vest dress", 13: "sling dress",
}  # fmt: skip
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
        self.folders, self.unread = self._split_folders()
        self.rows: dict[str, int] = {}  # the size of every folder, read or not
        if not any((self.root / folder / "image").is_dir() for folder in self.folders.values()):
            inside = ", ".join(sorted(p.name for p in self.root.iterdir())[:5]) or "nothing"
            raise UserError(
                f"data.root={root} is not in DeepFashion2 layout: expected train/image and train/annos"
                f" (or validation/, test/) in it, found {inside}"
            )

    def files(self, splits: list[str]) -> dict[str, str]:
        """Return every file in the splits' image/ and annos/: images without annotation are reported too."""
        folders = [f"{self.folders.get(split, split)}/{kind}" for split in splits for kind in ("image", "annos")]
        inside = [folder for folder in folders if (self.root / folder).is_dir()]
        names = [f"{folder}/{name}" for folder in inside for name in files_under(self.root / folder)]
        return {name: str(self.root / name) for name in [PRODUCTS, *names]}

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]:
        """Return the items with a style, and what was skipped: broken files, style 0, boxes without area."""
        folder = self.root / self.folders.get(split, split)
        if not folder.is_dir():
            raise MissingSplitError(f"{folder} is not there")
        if not (folder / "annos").is_dir():
            raise MissingSplitError(f"{folder} has no annos/ (no labels)")
        images, odd_images = _by_stem(folder / "image")
        annotations, odd_annotations = _by_stem(folder / "annos", ".json")
        records: list[CropRecord] = []
        skipped = [Skipped(split, printable(f"{folder.name}/{name}"), None, reason)
                   for name, reason in (odd_images | odd_annotations).items()]  # fmt: skip
        rows = sum(self._read_file(split, folder / "annos" / name, images, records, skipped)
                   for name in annotations.values())  # fmt: skip
        lonely = sorted(set(images) - set(annotations))
        skipped += [Skipped(split, f"{folder.name}/image/{images[i]}", None, ALONE) for i in lonely]
        files = sum(len(_names(folder / kind)) for kind in ("image", "annos"))
        self.rows[folder.name] = rows + files - len(annotations) - len(set(images) & set(annotations))
        if self.sku_key == "pair_style":
            one_category_per_sku(records)
        return records, skipped

    def rest(self, splits: Sequence[str]) -> list[Skipped]:
        """Return one entry, with its number of rows, for every folder that read() does not open.

        Rows are annotation files, or images where there are no annotations.
        """
        unread = dict(self.unread)
        for split, folder in self.folders.items():
            if not (self.root / folder / "annos").is_dir():
                unread[folder] = f"split {split} has no annos/ (no labels)"
            elif split not in splits:
                unread[folder] = not_asked(split)
        found = []
        for folder, reason in unread.items():
            files = _names(self.root / folder / "annos") or _names(self.root / folder / "image")
            self.rows[folder] = len(files)
            name = printable(folder)
            found.append(Skipped(meaning(name) or name, name, None, reason, "its files", len(files)))
        return [row for row in found if row.count]

    def size(self) -> int:
        """Return the number of items, plus files without items, plus files in folders that were not read."""
        return sum(self.rows.values())

    def _split_folders(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the folder of every split, and the reason for every other folder with image/ or annos/ in it."""
        inside = [name for name in _names(self.root)
                  if any((self.root / name / kind).is_dir() for kind in ("image", "annos"))]  # fmt: skip
        folders = {name: name for name in inside if name in SPLITS}
        unread = {}
        for name in (name for name in inside if name not in SPLITS):
            split = meaning(name) if is_utf8(name) else UNKNOWN
            split = VALIDATION if split == DEV else split  # train/dev/test; our own dev is no folder
            if split == UNKNOWN:
                unread[name] = unknown(printable(name))
            elif split in folders:
                unread[name] = f"split {split} is read from the folder {folders[split]}"
            else:
                folders[split] = name
        return folders, unread

    def _read_file(
        self,
        split: str,
        path: Path,
        images: dict[str, str],
        records: list[CropRecord],
        skipped: list[Skipped],
    ) -> int:
        """Read one annotation's items; return its number of rows: its items, or one if it has none."""
        place = path.parent.parent.name
        name = f"{place}/annos/{path.name}"
        try:
            annotation = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            skipped.append(Skipped(split, name, None, "broken JSON", str(error)))
            return 1
        except OSError as error:  # a link that leads nowhere, a folder, no permission
            skipped.append(Skipped(split, name, None, "annotation cannot be read", error.strerror or str(error)))
            return 1
        found = list(items(annotation)) if isinstance(annotation, dict) else []
        rows = max(1, len(found))
        try:
            source, pair_id = DOMAINS[annotation["source"]], number(annotation["pair_id"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            skipped.append(Skipped(split, name, None, "annotation lacks source or pair_id", repr(error), rows))
            return rows
        if path.stem not in images:
            skipped.append(Skipped(split, name, None, "annotation without an image", count=rows))
            return rows
        if not found:
            skipped.append(Skipped(split, name, None, "annotation without items"))
        seen: set[int] = set()
        for index, item in found:
            reason, detail = fault(item) if index not in seen else ("item with the number of another", str(index))
            if reason:
                skipped.append(Skipped(split, name, index, reason, detail))
                continue
            seen.add(index)
            image = f"{place}/image/{images[path.stem]}"
            records.append(self._record(split, source, pair_id, path.stem, image, index, item))
        return rows

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
        category = sound(str(item.get("category_name") or CATEGORIES.get(category_id, "garment")))
        sku_id = f"{pair_id:06d}_{style:02d}"
        if self.sku_key == "pair_style_category":
            sku_id += f"_{category_id:02d}"
        occlusion, viewpoint = grade(item, "occlusion"), grade(item, "viewpoint")
        return CropRecord(
            split=split, sku_id=sku_id, pair_id=pair_id, style=style, category_id=category_id, category_name=category,
            domain=domain, image_path="", orig_image_path=image, image_id=image_id, item_idx=index,
            bbox=[int(v) for v in item["bounding_box"]], occlusion=occlusion, viewpoint=viewpoint,
            text=template_caption(domain, category, occlusion, viewpoint),
            scale=grade(item, "scale"), zoom_in=grade(item, "zoom_in"),
            outline=(item.get("segmentation") or None) if domain == CATALOG else None,
        )  # fmt: skip


def _names(folder: Path) -> list[str]:
    """Return the names in ``folder``, sorted; none if there is no such folder."""
    try:
        return sorted(os.listdir(folder)) if folder.is_dir() else []
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error


def _by_stem(folder: Path, suffix: str = "") -> tuple[dict[str, str], dict[str, str]]:
    """Return the files of ``folder`` by their stems, and the reason for each file that is left out.

    Left out are files with another ending than ``suffix``, names that are not UTF-8, and stems that occur twice.
    """
    found: dict[str, str] = {}
    odd: dict[str, str] = {}
    for name in _names(folder):
        stem, ending = os.path.splitext(name)
        if suffix and ending.lower() != suffix:
            odd[f"{folder.name}/{name}"] = f"file in {folder.name}/ that is no {suffix}"
        elif not is_utf8(name):
            odd[f"{folder.name}/{name}"] = BAD_NAME
        elif stem in found:
            odd[f"{folder.name}/{name}"] = SAME_STEM
        else:
            found[stem] = name
    return found, odd
