"""The views table: round trips, and what a row says of itself."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skufp.artifacts.views import KINDS, SCHEMA, ViewRow, read_views, write_views

ROW = ViewRow(
    split="train", sku_id="naïve s1", pair_id=7, style=2, category_id=1, category_name="short sleeve top",
    view_id="gen-000001_item1-back-0", kind="view", source_view="000001_item1", action="back", round=1, seed=2**62,
    noise=0.7, toward_sku="", viewpoint=3, zoom_in=1, occlusion=1, own_similarity=0.9, source_similarity=0.75,
    structure_similarity=0.875, other_similarity=0.5, other_sku="s2", margin=0.4, category_found=1,
    colour_distance=0.1, kept=True, reason="", text="a tee, navy", part=3,
)  # fmt: skip
REJECTED = replace(ROW, view_id="gen-000001_item1-back-1", kept=False, reason="too far from its SKU; colours differ")


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    write_views(tmp_path / "views.parquet", [ROW, REJECTED])
    assert read_views(tmp_path / "views.parquet") == [ROW, REJECTED]


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    write_views(tmp_path / "views.parquet", iter([]))
    table = pq.read_table(tmp_path / "views.parquet")
    assert table.schema.equals(SCHEMA)
    assert read_views(tmp_path / "views.parquet") == []


def test_columns_are_flat_and_typed(tmp_path: Path) -> None:
    write_views(tmp_path / "views.parquet", [ROW])
    types = {field.name: str(field.type) for field in pq.read_schema(tmp_path / "views.parquet")}
    assert types["seed"] == types["part"] == "int64"
    assert types["margin"] == "double"
    assert types["kept"] == "bool"
    assert types["reason"] == "string"
    assert types["structure_similarity"] == "double"
    assert len(types) == 29


@pytest.mark.parametrize("wrong", [{"margin": "much"}, {"seed": 2**63}, {"kept": "no"}])
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)):
        write_views(tmp_path / "views.parquet", [ViewRow.from_dict(ROW.to_dict() | wrong)])


def test_a_row_knows_its_sku_its_distance_and_its_reasons() -> None:
    assert ROW.sku == ("train", "naïve s1")
    assert ROW.distance == 0.25
    assert ROW.structure_distance == 0.125
    assert ROW.reasons == []
    assert REJECTED.reasons == ["too far from its SKU", "colours differ"]
    assert ROW.kind in KINDS


def test_a_json_row_with_more_keys_makes_the_same_row() -> None:
    assert ViewRow.from_dict(ROW.to_dict() | {"row": 3}) == ROW
