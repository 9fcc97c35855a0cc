"""Crop records: their JSONL, their SKU metadata, and names that are safe in tar files."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from skufp.artifacts.records import CropRecord, read_records, safe_name, sku_metadata, write_records


def _record(**changes: object) -> CropRecord:
    values: dict[str, object] = {
        "split": "train", "sku_id": "000001_01_01", "pair_id": 1, "style": 1, "category_id": 1,
        "category_name": "short sleeve top", "domain": "query", "image_path": "train/query/a.jpg",
        "orig_image_path": "train/image/000001.jpg", "image_id": "000001", "item_idx": 1, "bbox": [1, 2, 30, 40],
        "occlusion": 3, "viewpoint": 3, "text": "A user photo.",
    }  # fmt: skip
    return CropRecord(**(values | changes))  # type: ignore[arg-type]


def test_jsonl_round_trip(tmp_path: Path) -> None:
    records = [
        _record(),
        _record(
            sku_id="Überzieher / 2", bbox=None, text="naïve\u2028 “quoted”\n👗", pool="held_out", scale=2, zoom_in=3
        ),
    ]
    write_records(tmp_path / "r.jsonl", records)
    assert len((tmp_path / "r.jsonl").read_bytes().rstrip(b"\n").split(b"\n")) == 2
    assert read_records(tmp_path / "r.jsonl") == records


def test_row_is_the_record_and_unknown_keys_are_ignored() -> None:
    record = _record(pool="learn")
    row = json.loads(json.dumps(record.to_dict()))
    assert list(row) == [f.name for f in fields(record) if f.name != "outline"]
    assert all(row[name] == getattr(record, name) for name in row)
    assert CropRecord.from_dict(row | {"added_later": 1}) == record


def test_the_outline_is_not_written(tmp_path: Path) -> None:
    write_records(tmp_path / "r.jsonl", [_record(mask_path="a.mask.png", outline=[[123456, 1, 2, 2, 3, 3]])])
    assert "123456" not in (tmp_path / "r.jsonl").read_text()
    record = read_records(tmp_path / "r.jsonl")[0]
    assert (record.mask_path, record.outline) == ("a.mask.png", None)


def test_rows_of_an_older_schema_take_the_defaults() -> None:
    row = _record(pool="learn", scale=2, zoom_in=2).to_dict()
    for name in ("pool", "scale", "zoom_in", "mask_path"):
        del row[name]
    assert CropRecord.from_dict(row) == _record()


def test_view_and_sku_keys() -> None:
    record = _record(image_id="000007", item_idx=2)
    assert record.view_id == "000007_item2"
    assert record.sku == ("train", "000001_01_01")


def test_sku_metadata_groups_by_domain() -> None:
    records = [
        _record(image_path="q1"), _record(image_path="c1", domain="catalog"), _record(image_path="q2"),
        _record(image_path="c9", domain="catalog", sku_id="other", pair_id=9),
    ]  # fmt: skip
    skus = sku_metadata(records)
    assert skus["000001_01_01"] == {
        "split": "train", "sku_id": "000001_01_01", "pair_id": 1, "style": 1, "category_id": 1,
        "category_name": "short sleeve top", "catalog": ["c1"], "query": ["q1", "q2"],
    }  # fmt: skip
    assert (skus["other"]["catalog"], skus["other"]["query"], skus["other"]["pair_id"]) == (["c9"], [], 9)


@pytest.mark.parametrize("name", ["000001_01_01", "SKU-9", "a"])
def test_a_name_that_is_safe_is_kept(name: str) -> None:
    assert safe_name(name) == name


UNSAFE = ["a.b", "a b", "a/b", "a\\b", "a_b.", ".a_b", "..", "", "中文", "文中", "ü", "a,b", "x" * 200, "x" * 201, "_a"]


def test_unsafe_names_become_safe_and_stay_apart() -> None:
    safe = [safe_name(name) for name in UNSAFE]
    assert all(set(s) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") for s in safe)
    assert all(0 < len(s) <= 90 for s in safe)
    assert len(set(safe)) == len(UNSAFE)
    assert safe == [safe_name(name) for name in UNSAFE]
