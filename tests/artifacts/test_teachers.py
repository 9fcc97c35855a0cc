"""The teacher table's round trip."""

from pathlib import Path

import pyarrow as pa
import pytest

from skufp.artifacts.teachers import SCHEMA, read_teachers, write_teachers

ROW = {
    "split": "train", "sku_id": "s1", "view_id": "000001_item1", "row": 3, "fold": -1, "queries": 2, "rank": 1.5,
    "reciprocal_rank": 0.75, "recall@1": 0.5, "margin": 0.01, "is_teacher": True, "fallback": False,
}  # fmt: skip


def test_round_trip(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"sku_id": "s2", "rank": None, "margin": float("-0.25"), "is_teacher": False, "fallback": True}]
    write_teachers(tmp_path, rows)
    table = read_teachers(tmp_path)
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == rows


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    write_teachers(tmp_path, [])
    assert read_teachers(tmp_path).schema.equals(SCHEMA)
    assert read_teachers(tmp_path).num_rows == 0


def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        write_teachers(tmp_path, [ROW | {"rank": "first"}])
