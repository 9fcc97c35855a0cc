"""Sources: product tables, photo folders, exported folders."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skufp.artifacts.records import CropRecord
from skufp.artifacts.split_names import split_of
from skufp.data.accounts import MissingSplitError
from skufp.data.photo_folder import PhotoFolder
from skufp.data.prepared_folder import Prepared
from skufp.data.product_table import Catalogue
from skufp.errors import UserError

ROWS = [
    {"sku": "A-1", "image": "a1.jpg", "title": "Navy tee, crew neck"},
    {"sku": "A-1", "image": "photos/a1 back.jpg", "title": "ignored", "text": "“Navy” tee ü"},
    {"sku": "B 2", "image": "b2.jpg", "title": "", "domain": "user"},
]


def _write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"products.{kind}"
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([{c: row.get(c) for c in columns} for row in rows]), path)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n", encoding="utf-8")
    else:
        separator = "\t" if kind == "tsv" else ","
        quoted = ['"' + str(row.get(c, "")).replace('"', '""') + '"' for row in rows for c in columns]
        cells = [quoted[i : i + len(columns)] for i in range(0, len(quoted), len(columns))]
        text = "\r\n".join(separator.join(line) for line in [columns, *cells])
        path.write_text(text, encoding="utf-8-sig")  # as Excel saves it, with a byte-order mark
    return path


def _all(source: Any) -> tuple[list[CropRecord], list[Any]]:
    records: list[CropRecord] = []
    skipped: list[Any] = []
    for split in ("train", "validation", "test"):
        try:
            read, left_out = source.read(split)
        except MissingSplitError:
            continue
        records += read
        skipped += left_out
    return sorted(records, key=lambda r: r.image_id), skipped


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_table_reads_alike(tmp_path: Path, kind: str) -> None:
    source = Catalogue(str(_write(tmp_path, kind, ROWS)))
    records, skipped = _all(source)
    assert source.root == tmp_path
    assert not skipped
    found = [(r.sku_id, r.orig_image_path, r.domain, r.text, r.split) for r in records]
    assert found == [
        ("A-1", "a1.jpg", "catalog", "Navy tee, crew neck", split_of("A-1")),
        ("A-1", "photos/a1 back.jpg", "catalog", "“Navy” tee ü", split_of("A-1")),
        ("B 2", "b2.jpg", "query", "", split_of("B 2")),
    ]
    assert [r.pair_id for r in records] == [1, 1, 2]
    assert len({r.view_id for r in records}) == 3
    assert all(r.bbox is None for r in records)


def test_split_column_decides(tmp_path: Path) -> None:
    rows = [{"sku": f"s{i}", "image": "x.jpg", "split": ("train", "test")[i % 2]} for i in range(6)]
    source = Catalogue(str(_write(tmp_path, "csv", rows)))
    assert [r.sku_id for r in source.read("train")[0]] == ["s0", "s2", "s4"]
    assert [r.sku_id for r in source.read("test")[0]] == ["s1", "s3", "s5"]
    with pytest.raises(MissingSplitError):
        source.read("validation")


def test_faulty_rows_are_skipped_with_a_reason(tmp_path: Path) -> None:
    rows = [
        {"sku": "a", "image": "a.jpg", "domain": "shop", "split": "train"},
        {"sku": " ", "image": "b.jpg", "domain": "", "split": "train"},
        {"sku": "c", "image": "", "domain": "", "split": "train"},
        {"sku": "d", "image": "d.jpg", "domain": "Billboard", "split": "train"},
        {"sku": "e", "image": "e.jpg", "domain": "Query", "split": "train"},
    ]
    records, skipped = Catalogue(str(_write(tmp_path, "csv", rows))).read("train")
    assert [(r.sku_id, r.domain) for r in records] == [("a", "catalog"), ("e", "query")]
    assert [(s.item, s.reason) for s in skipped] == [
        (2, "no sku"), (3, "no image"), (4, "unknown domain 'billboard'"),
    ]  # fmt: skip
    assert {s.file for s in skipped} == {"products.csv"}


def test_short_rows_of_a_csv_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("sku,image,split\na,a.jpg,train\nb\n")
    records, skipped = _all(Catalogue(str(path)))
    assert [r.sku_id for r in records] == ["a"]
    assert [s.reason for s in skipped] == ["no image"]


def test_a_row_with_more_cells_than_the_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("sku,image\na,a.jpg\nb,b.jpg,what,ever\n")
    assert [r.sku_id for r in _all(Catalogue(str(path)))[0]] == ["a", "b"]


def test_numbers_and_empty_values_of_typed_tables(tmp_path: Path) -> None:
    rows = [{"sku": 0, "image": "a.jpg", "title": None}, {"sku": 17, "image": "b.jpg", "title": "tee"}]
    for kind in ("jsonl", "parquet"):
        records, skipped = _all(Catalogue(str(_write(tmp_path, kind, rows))))
        assert [(r.sku_id, r.text) for r in records] == [("0", ""), ("17", "tee")]
        assert not skipped


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_missing_columns_are_named_with_what_is_there(tmp_path: Path, kind: str) -> None:
    path = _write(tmp_path, kind, [{"id": "a", "image": "a.jpg"}])
    with pytest.raises(UserError, match=r"no column 'sku'; it has id, image\..*optional: title"):
        Catalogue(str(path))


def test_wrong_tables_say_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.manifest=products\.csv"):
        Catalogue(None)
    with pytest.raises(UserError, match="no such file"):
        Catalogue(str(tmp_path / "nowhere.csv"))
    (tmp_path / "p.xlsx").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"use a \.csv, \.tsv, \.jsonl or \.parquet"):
        Catalogue(str(tmp_path / "p.xlsx"))
    (tmp_path / "p.jsonl").write_text('{"sku": "a", "image": "x"}\n{"sku": ')
    with pytest.raises(UserError, match="line 2: not JSON"):
        Catalogue(str(tmp_path / "p.jsonl"))
    (tmp_path / "q.jsonl").write_text("[1]\n")
    with pytest.raises(UserError, match="line 1: each line must be an object"):
        Catalogue(str(tmp_path / "q.jsonl"))


def test_images_may_lie_in_another_folder(tmp_path: Path) -> None:
    path = _write(tmp_path, "csv", ROWS)
    (tmp_path / "shots").mkdir()
    assert Catalogue(str(path), str(tmp_path / "shots")).root == tmp_path / "shots"
    with pytest.raises(UserError, match="no such folder"):
        Catalogue(str(path), str(tmp_path / "nowhere"))


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_folder_per_sku(tmp_path: Path) -> None:
    _touch(tmp_path, "navy tee/1.jpg", "navy tee/deep/2.PNG", "vest.v2/1.webp", "vest.v2/readme.txt", "notes.md")
    records, _ = _all(PhotoFolder(str(tmp_path)))
    assert {(r.sku_id, r.orig_image_path) for r in records} == {
        ("navy tee", "navy tee/1.jpg"), ("navy tee", "navy tee/deep/2.PNG"), ("vest.v2", "vest.v2/1.webp"),
    }  # fmt: skip
    assert {r.domain for r in records} == {"catalog"}
    assert len({r.view_id for r in records}) == 3
    assert len({r.pair_id for r in records}) == 2


def test_a_flat_folder_has_a_sku_per_file(tmp_path: Path) -> None:
    _touch(tmp_path, "b.jpg", "a.jpg", "a.png")
    records, _ = _all(PhotoFolder(str(tmp_path)))
    assert [r.sku_id for r in records] == ["a.jpg", "a.png", "b.jpg"]
    assert len({r.pair_id for r in records}) == 3


def test_splits_of_a_folder_do_not_overlap(tmp_path: Path) -> None:
    _touch(tmp_path, *[f"{i}.jpg" for i in range(60)])
    source = PhotoFolder(str(tmp_path))
    parts = {split: {r.sku_id for r in source.read(split)[0]} for split in ("train", "validation")}
    assert not parts["train"] & parts["validation"]
    assert len(parts["train"] | parts["validation"]) == 60
    with pytest.raises(MissingSplitError):
        source.read("test")


def test_empty_and_missing_folders_say_what_was_looked_for(tmp_path: Path) -> None:
    _touch(tmp_path, "a.txt")
    with pytest.raises(UserError, match=r"no photos there \(looked for .*\.jpg"):
        PhotoFolder(str(tmp_path))
    with pytest.raises(UserError, match=r"add data\.root=<folder>"):
        PhotoFolder(None)


def test_a_fifth_of_the_skus_is_validation() -> None:
    splits = [split_of(f"sku-{i}") for i in range(4000)]
    assert set(splits) == {"train", "validation"}
    assert splits.count("validation") / 4000 == pytest.approx(0.2, abs=0.02)
    assert splits == [split_of(f"sku-{i}") for i in range(4000)]


def test_an_exported_folder_comes_back_with_dev_inside_train(prepared: Any) -> None:
    records, skipped = Prepared(str(prepared.root)).read("train")
    assert not skipped
    assert {(r.split, r.bbox) for r in records} == {("train", None)}
    assert [r.sku_id for r in records] == [r.sku_id for s in ("train", "dev") for r in prepared.of(s)]
    assert all(r.orig_image_path == r.image_path for r in records)
    assert all((prepared.root / r.orig_image_path).is_file() for r in records)
    with pytest.raises(MissingSplitError):
        Prepared(str(prepared.root)).read("validation")


def test_a_folder_that_was_not_exported_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.export_to=<folder>"):
        Prepared(str(tmp_path))
