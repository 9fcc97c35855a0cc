"""The teacher stage's tables: round trips."""

from pathlib import Path

import pyarrow as pa
import pytest

from skufp.artifacts.teachers import (
    QUERY_SCHEMA,
    SCHEMA,
    read_query_folds,
    read_teachers,
    write_query_folds,
    write_teachers,
)

ROW = {
    "split": "train", "sku_id": "s1", "view_id": "000001_item1", "row": 3, "fold": -1, "queries": 2, "rank": 1.5,
    "reciprocal_rank": 0.75, "recall@1": 0.5, "recall@5": 1.0, "recall@10": 1.0, "margin": 0.01, "is_teacher": True,
    "weight": 0.01, "fallback": False,
}  # fmt: skip
FALLBACK = ROW | {"sku_id": "s2", "rank": None, "margin": None, "is_teacher": False, "weight": 0.0, "fallback": True}
QUERY = {"split": "train", "sku_id": "s1", "view_id": "000002_item1", "row": 7, "fold": 1}


def test_rows_and_tables_make_the_same_file(tmp_path: Path) -> None:
    write_teachers(tmp_path, [ROW, FALLBACK])
    table = read_teachers(tmp_path)
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == [ROW, FALLBACK]
    shuffled = table.select(sorted(SCHEMA.names)).append_column("extra", pa.array([1, 2]))
    write_teachers(tmp_path, shuffled)
    assert read_teachers(tmp_path).equals(table)


def test_query_folds_round_trip(tmp_path: Path) -> None:
    write_query_folds(tmp_path, [QUERY, QUERY | {"row": 8, "fold": 0}])
    table = read_query_folds(tmp_path)
    assert table.schema.equals(QUERY_SCHEMA)
    assert table.to_pylist() == [QUERY, QUERY | {"row": 8, "fold": 0}]


def test_empty_tables_keep_their_columns(tmp_path: Path) -> None:
    write_teachers(tmp_path, [])
    write_query_folds(tmp_path, [])
    assert read_teachers(tmp_path).schema.equals(SCHEMA)
    assert read_query_folds(tmp_path).schema.equals(QUERY_SCHEMA)
    assert read_teachers(tmp_path).num_rows == read_query_folds(tmp_path).num_rows == 0


def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        write_teachers(tmp_path, [ROW | {"rank": "first"}])
    with pytest.raises(pa.ArrowInvalid):
        write_teachers(tmp_path, pa.Table.from_pylist([ROW | {"rank": "first"}]))


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="weight"):
        write_teachers(tmp_path, pa.Table.from_pylist([ROW]).drop_columns("weight"))
