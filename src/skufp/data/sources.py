"""The interface of photo sources: a source reads one split into crop records and a list of skipped rows.

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

    ``PLACES`` are the settings that locate files: a stage's key depends on the files' content (see files()), not on
    their location. read_source() in accounts.py asserts that read() and rest() account for size() rows.
    """

    root: Path
    PLACES = ("root", "manifest", "leave_out")

    def files(self, splits: list[str]) -> dict[str, str]:
        """Return the path of every file that reading ``splits`` opens, missing files too, by a stable name."""
        raise NotImplementedError(f"{type(self).__name__} must say which files it reads")

    def open(self, work: Path, workers: int) -> None:
        """Prepare to read; ``work`` is the prepare stage's folder, for sources that draw their photos."""

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]:
        """Return the records of one split and the skipped rows; raise MissingSplitError if the split is missing."""
        raise MissingSplitError(split)

    def rest(self, splits: Sequence[str]) -> list[Skipped]:
        """Return the rows in none of ``splits``, with the reason."""
        raise NotImplementedError(f"{type(self).__name__} must account for what read() does not")

    def notes(self, splits: Sequence[str]) -> list[Skipped]:
        """Return rows that are kept, but perhaps not as the author of the data meant."""
        return []

    def size(self) -> int:
        """Return how many rows (photos, items) the source holds, of all splits; called after read() and rest()."""
        raise NotImplementedError(f"{type(self).__name__} must count its rows")

    def fields(self, split: str) -> dict[str, dict[str, str]]:
        """Return the source's text columns of each SKU of ``split``; SKUs may be missing."""
        return read_fields(self.root / PRODUCTS, split)


def existing_folder(root: str | None, what: str) -> Path:
    """Return ``root`` as a path; UserError if it is not a folder."""
    if not root:
        raise UserError(f"{what} needs a folder: add data.root=<folder>")
    if not Path(root).is_dir():
        raise UserError(f"data.root={root}: there is no such folder (looked in {Path.cwd()})")
    return Path(root)


def files_in(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the paths of files in ``root``, by their names relative to it."""
    return {name: os.path.join(root, name) for name in names}


def whole_image(
    split: str, sku: str, pair: int, domain: str, image: str, number: int, text: str, category: str = ""
) -> CropRecord:
    """Return the record of a photo that is used without cropping."""
    return CropRecord(
        split=split, sku_id=sku, pair_id=pair, style=1, category_id=0, category_name=category, domain=domain,
        image_path="", orig_image_path=image, image_id=f"{number:06d}", item_idx=1, bbox=None, occlusion=0, viewpoint=0,
        text=text,
    )  # fmt: skip
