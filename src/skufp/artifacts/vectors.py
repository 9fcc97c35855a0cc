"""Vectors with a table: `vectors.npy` (memory-mapped, unit norm) and one Parquet row per vector."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


@dataclass
class VectorTable:
    """``vectors`` [N, D] float32 and ``rows``, a table of N rows in the same order."""

    vectors: np.ndarray
    rows: pa.Table

    def __post_init__(self) -> None:
        if len(self.vectors) != self.rows.num_rows:
            raise ValueError(f"{len(self.vectors)} vectors but {self.rows.num_rows} rows")

    def save(self, folder: Path, vectors: str = "vectors.npy", rows: str = "rows.parquet") -> None:
        """Write both files into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / vectors, np.ascontiguousarray(self.vectors, np.float32), allow_pickle=False)
        pq.write_table(self.rows, folder / rows)

    @classmethod
    def load(cls, folder: Path, vectors: str = "vectors.npy", rows: str = "rows.parquet") -> "VectorTable":
        """Read both files; vectors stay on the disk until used."""
        mapped = np.load(folder / vectors, mmap_mode="r", allow_pickle=False)
        return cls(mapped, pq.read_table(folder / rows))

    def where(self, **equal: str | list[str]) -> "VectorTable":
        """Return the rows whose columns equal the given value, or one of the given values."""
        mask = np.ones(self.rows.num_rows, bool)
        for column, value in equal.items():
            wanted = pa.array(value if isinstance(value, list) else [value], pa.string())
            mask &= pc.is_in(self.rows[column], value_set=wanted).to_numpy(zero_copy_only=False)
        return self.take(np.flatnonzero(mask))

    def take(self, indices: np.ndarray) -> "VectorTable":
        """Return the given rows, in that order."""
        return VectorTable(np.asarray(self.vectors[indices]), self.rows.take(pa.array(indices)))

    def column(self, name: str) -> np.ndarray:
        """Return a column as a NumPy array."""
        return self.rows[name].to_numpy(zero_copy_only=False)

    def sku_keys(self) -> list[tuple[str, str]]:
        """Return every row's SKU: (split, sku_id), since an id is unique only within its split."""
        return list(zip(self.rows["split"].to_pylist(), self.rows["sku_id"].to_pylist(), strict=True))

    def __len__(self) -> int:
        return self.rows.num_rows


def design_numbers(skus: pa.Table) -> np.ndarray:
    """Return a number for each SKU [S], equal for SKUs of one pair: they differ in colour alone.

    Pair ids mean nothing without their split. In a table without the column pair_id every SKU is a design of its own.
    """
    if "pair_id" not in skus.column_names:
        return np.arange(skus.num_rows)
    pairs = list(zip(skus["split"].to_pylist(), skus["pair_id"].to_pylist(), strict=True))
    number = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
    return np.array([number[pair] for pair in pairs], np.int64)


@dataclass
class SkuGroups:
    """Rows of a VectorTable grouped by SKU.

    ``keys`` are (split, sku_id) in order of first appearance; ``of_row`` [N] is each row's SKU number.
    """

    keys: list[tuple[str, str]]
    of_row: np.ndarray

    @classmethod
    def of(cls, table: VectorTable) -> "SkuGroups":
        """Group ``table`` by its columns split and sku_id."""
        number: dict[tuple[str, str], int] = {}
        of_row = np.array([number.setdefault(key, len(number)) for key in table.sku_keys()], dtype=np.int64)
        return cls(list(number), of_row)

    @property
    def number(self) -> dict[tuple[str, str], int]:
        """SKU number of each key."""
        return {key: i for i, key in enumerate(self.keys)}

    def counts(self) -> np.ndarray:
        """Rows per SKU."""
        return np.bincount(self.of_row, minlength=len(self.keys))
