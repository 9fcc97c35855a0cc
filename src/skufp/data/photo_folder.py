"""data=folder: a folder per SKU, or a photo each."""

import os
from collections.abc import Sequence

from skufp.artifacts.file_names import scan
from skufp.artifacts.products import FILE as PRODUCTS
from skufp.artifacts.records import CATALOG, CropRecord, Skipped
from skufp.artifacts.split_names import not_asked, split_of
from skufp.data.accounts import MissingSplitError
from skufp.data.printable_names import is_utf8, printable
from skufp.data.sources import BAD_NAME, NO_PHOTO, Source, existing_folder, files_in, whole_image
from skufp.errors import UserError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


class PhotoFolder(Source):
    """A folder per SKU, or a flat folder where each file is its own product.

    The folders in ``leave_out`` are skipped: stage folders may lie among the photos, and hold photos too.
    """

    def __init__(self, root: str | None, leave_out: list[str] | None = None) -> None:
        self.root = existing_folder(root, "data=folder")
        self.names, self.closed = scan(self.root, leave_out or [])
        self.photos = [name for name in self.names if is_photo(name)]
        if not self.photos:
            raise UserError(f"data.root={root}: no photos there (looked for {' '.join(sorted(IMAGE_SUFFIXES))})")

    def files(self, splits: list[str]) -> dict[str, str]:
        """Return every photo of any split, since photos are numbered over all splits."""
        return files_in(self.root, [PRODUCTS, *self.photos])

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
        """Return the photos of other splits, the files that are not photos, and the skipped folders."""
        found = [Skipped("", printable(name), None, reason) for name, reason in self.closed.items()]
        for name in self.names:
            if not is_utf8(name):
                found.append(Skipped("", printable(name), None, BAD_NAME))
            elif not is_photo(name):
                found.append(Skipped("", name, None, NO_PHOTO))
            elif (split := split_of(name.partition("/")[0])) not in splits:
                found.append(Skipped(split, name, None, not_asked(split)))
        return found

    def size(self) -> int:
        """Return the number of files plus skipped folders."""
        return len(self.names) + len(self.closed)


def is_photo(name: str) -> bool:
    """Tell whether a file is a photo by its name."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and is_utf8(name)
