"""Where photos come from: every source reads one split into crop records and a list of what it skipped.

Sources: product_table.py, photo_folder.py, prepared_folder.py, deepfashion2.py, generated.py.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from skufp.artifacts.products import FILE as PRODUCTS
from skufp.artifacts.products import read_fields
from skufp.artifacts.records import CropRecord, Skipped
from skufp.data.accounts import MissingSplitError
from skufp.errors import UserError

NO_PHOTO, BAD_NAME = "not a photo by its name", "file name that is not UTF-8"


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


def files_in(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Return where files of ``root`` lie, by their names relative to it."""
    return {name: os.path.join(root, name) for name in names}


def whole_image(
    split: str, sku: str, pair: int, domain: str, image: str, number: int, text: str, category: str = ""
) -> CropRecord:
    """Return the record of a photo that is used as it is."""
    return CropRecord(
        split=split, sku_id=sku, pair_id=pair, style=1, category_id=0, category_name=category, domain=domain,
        image_path="", orig_image_path=image, image_id=f"{number:06d}", item_idx=1, bbox=None, occlusion=0, viewpoint=0,
        text=text,
    )  # fmt: skip
