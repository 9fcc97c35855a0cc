"""Vectors with a table beside them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from skufp.artifacts.vectors import SkuGroups, VectorTable


@pytest.fixture
def table() -> VectorTable:
    rows = pa.table({
        "split": ["train", "dev", "train", "dev", "train"],
        "sku_id": ["b", "b", "a", "a", "b"],
        "domain": ["catalog", "query", "query", "catalog", "query"],
    })  # fmt: skip
    return VectorTable(np.arange(15, dtype=np.float32).reshape(5, 3), rows)


def test_save_and_load(table: VectorTable, tmp_path: Path) -> None:
    table.save(tmp_path / "deep" / "folder")
    loaded = VectorTable.load(tmp_path / "deep" / "folder")
    assert isinstance(loaded.vectors, np.memmap)
    assert np.array_equal(loaded.vectors, table.vectors)
    assert loaded.rows.equals(table.rows)
    assert len(loaded) == 5


def test_saves_float32_under_other_names(table: VectorTable, tmp_path: Path) -> None:
    VectorTable(table.vectors.astype(np.float64)[::-1], table.rows).save(tmp_path, "f.npy", "s.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.npy", "s.parquet"]
    loaded = VectorTable.load(tmp_path, "f.npy", "s.parquet")
    assert loaded.vectors.dtype == np.float32
    assert np.array_equal(loaded.vectors, table.vectors[::-1])


def test_rows_and_vectors_must_agree(table: VectorTable) -> None:
    with pytest.raises(ValueError, match="4 vectors but 5 rows"):
        VectorTable(table.vectors[:4], table.rows)


def test_where_joins_conditions_and_takes_lists(table: VectorTable) -> None:
    assert table.where(split="train").vectors[:, 0].tolist() == [0, 6, 12]
    assert table.where(split="train", domain="query").vectors[:, 0].tolist() == [6, 12]
    assert table.where(split=["train", "dev"], sku_id=["a"]).vectors[:, 0].tolist() == [6, 9]
    nothing = table.where(split="validation")
    assert (len(nothing), nothing.vectors.shape) == (0, (0, 3))
    assert table.where(split=[]).vectors.shape == (0, 3)


def test_take_keeps_the_asked_order(table: VectorTable) -> None:
    taken = table.take(np.array([4, 0, 4]))
    assert taken.vectors[:, 0].tolist() == [12, 0, 12]
    assert taken.rows["domain"].to_pylist() == ["query", "catalog", "query"]
    assert taken.column("sku_id").tolist() == ["b", "b", "b"]


def test_groups_join_split_and_sku_in_order_of_appearance(table: VectorTable) -> None:
    groups = SkuGroups.of(table)
    assert groups.keys == [("train", "b"), ("dev", "b"), ("train", "a"), ("dev", "a")]
    assert groups.of_row.tolist() == [0, 1, 2, 3, 0]
    assert groups.number[("train", "a")] == 2
    assert groups.counts().tolist() == [2, 1, 1, 1]
