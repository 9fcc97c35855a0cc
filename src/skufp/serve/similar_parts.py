"""A folder that stage=index laid out (embeddings.npy, filenames.json, faiss_index.bin), seen as parts of a bundle.

A SKU is named by its (first) photo there, and has a vector; there are no views, fields or thumbnails.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from skufp.artifacts.folder import read_json
from skufp.errors import UserError
from skufp.serve.bundle_parts import BundleParts
from skufp.serve.marks import check_encoder
from skufp.serve.sku_table import SkuTable

if TYPE_CHECKING:
    from skufp.retrieval.index import SkuIndex

EMBEDDINGS, FILENAMES, INDEX, ENCODER = "embeddings.npy", "filenames.json", "faiss_index.bin", "encoder"
LAY_OUT = "python -m skufp stage=index aggregator=mean data=folder data.root=photos/ export_to={}"


class SimilarParts(BundleParts):
    """The parts encoder, index and skus of such a folder."""

    def explain(self, part: str, error: Exception) -> None:
        """Raise UserError: the files have no hashes here, and what cannot be read is laid out again."""
        if part == ENCODER or not isinstance(error, UserError):  # others say it themselves
            said = f"{type(error).__name__}: {error}"
            raise UserError(
                f"index={self.folder}: '{part}' cannot be read ({said}). Lay it out: {LAY_OUT.format(self.folder)}"
            ) from error

    @cached_property
    def skus(self) -> SkuTable:
        """The file names as a SKU table: a name is the SKU's id and its photo."""
        return self.read("skus", lambda _: self._read_skus())

    def _read_skus(self) -> SkuTable:
        names = read_json(self.folder / FILENAMES)
        if not isinstance(names, list):
            raise UserError(f"{self.folder / FILENAMES}: no list of names. Lay it out: {LAY_OUT.format(self.folder)}")
        table = {name: pa.array(names, pa.string()) for name in ("id", "sku_id", "photo")}
        empty = pa.array([""] * len(names), pa.string())
        file = self.folder / EMBEDDINGS
        vectors = np.load(file, mmap_mode="r", allow_pickle=False) if file.is_file() else None
        return SkuTable(pa.table(table | {"split": empty, "category_name": empty}), vectors)

    def _read_index(self) -> "SkuIndex":
        from skufp.retrieval.faiss_kinds import read_flat
        from skufp.retrieval.index import SkuIndex

        index = SkuIndex(read_flat(self.folder / INDEX))
        if len(index) != len(self.skus):
            raise UserError(
                f"index={self.folder}: {INDEX} holds {len(index)} vectors of {index.dim} dimensions, but there are"
                f" {len(self.skus)} file names. Lay it out: {LAY_OUT.format(self.folder)}"
            )
        return index


def needed_files(folder: Path) -> list[Path]:
    """Return the files without which such a folder answers nothing."""
    from skufp.modules.encoder_folder import ENCODER_FILE, INDEX_MARKS

    return [folder / name for name in (FILENAMES, INDEX, f"{ENCODER}/{ENCODER_FILE}", INDEX_MARKS)]


def is_similar(folder: Path) -> bool:
    """Return whether any of these files is in ``folder``."""
    return any((folder / name).is_file() for name in (FILENAMES, INDEX, EMBEDDINGS))


def open_similar_parts(folder: Path) -> SimilarParts:
    """Open such a folder; UserError for one that is not whole, and for the vectors of another encoder."""
    if missing := [str(path.relative_to(folder)) for path in needed_files(folder) if not path.is_file()]:
        raise UserError(f"index={folder}: {', '.join(missing)} not there. Lay it out: {LAY_OUT.format(folder)}")
    try:
        check_encoder(folder, folder / ENCODER, f"Lay it out: {LAY_OUT.format(folder)}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"index={folder}: the marks of its encoder cannot be read ({error}). Lay it out: {LAY_OUT.format(folder)}"
        ) from error
    return SimilarParts(folder, frozenset({ENCODER, "index", "skus"}), {})
