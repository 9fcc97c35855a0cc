"""No row vanishes: whatever a source holds is a record or a row with its reason, in every source."""

import json
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skufp.artifacts.records import CropRecord, Skipped, write_records
from skufp.data.accounts import UnaccountedRowsError, balance, left_out, read_source
from skufp.data.deepfashion2 import DeepFashion2
from skufp.data.sources import Catalogue, PhotoFolder, Prepared, Source
from skufp.errors import UserError

ALL = ("train", "validation", "test")
SPLIT_CELLS = ["", "", "", "train", "Train", "val", "VALID", "validation", "test", "Test set", "dev", "holdout", "nan",
               " train ", "[x]", "1", None, float("nan")]  # fmt: skip
SKUS = ["A", "A", "B", "b", "C/1", "0", 0, 17, "", " ", None, "ü", "\ud83d", "x" * 300]
IMAGES = ["a.jpg", "a.jpg", "gone.jpg", "", None, "../a.jpg", "\ud83d.jpg", "data:" + "x" * 400]
DOMAINS = ["", "", "shop", "user", "Catalog", "billboard", None]


def _asked(draw: random.Random) -> list[str]:
    return draw.sample(ALL, draw.randrange(1, 4))


def _table(folder: Path, draw: random.Random) -> tuple[Path, int]:
    """Write a table of odd rows as .jsonl or .csv; return it and its number of rows."""
    columns = {"sku": SKUS, "image": IMAGES, "domain": DOMAINS, "split": SPLIT_CELLS[: draw.choice((3, 9, 18))]}
    rows = [{name: draw.choice(cells) for name, cells in columns.items()} for _ in range(draw.randrange(1, 40))]
    rows += draw.choices(rows, k=draw.randrange(3))
    rows = [{k: v for k, v in row.items() if draw.random() < 0.95} | {"sku": row["sku"]} for row in rows]
    rows[0] |= {"image": "a.jpg"}
    path = folder / draw.choice(("table.jsonl", "table.csv"))
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path, len(rows)
    lines = [",".join(columns)]
    for row in rows:
        cells = ["" if row.get(name) is None else str(row[name]).replace("\ud83d", "?") for name in columns]
        lines.append(",".join(f'"{cell}"' for cell in cells[: draw.randrange(1, 5) if draw.random() < 0.1 else 4]))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path, len(rows)


@pytest.mark.parametrize("seed", range(10))
def test_every_row_of_a_table_is_a_record_or_a_row_with_its_reason(tmp_path: Path, seed: int) -> None:
    """Four hundred tables. Every row's number is found once: in a record, or in a row of the report."""
    for number in range(40):
        draw = random.Random(f"table {seed} {number}")
        path, rows = _table(tmp_path, draw)
        asked = _asked(draw)
        reading = read_source(Catalogue(str(path)), asked)
        found = Counter([int(r.image_id) for r in reading.records] + [s.item for s in reading.skipped])
        assert found == Counter(range(1, rows + 1))
        assert reading.rows == rows
        assert all(s.reason for s in reading.skipped)
        assert {r.split for r in reading.records} <= {*asked, *(["dev"] if "train" in asked else [])}
        json.dumps([vars(r) for r in reading.records] + [vars(s) for s in reading.skipped]).encode()


def test_reasons_of_a_table_are_those_of_a_naive_reading(tmp_path: Path) -> None:
    cells = ["val", "Train", "test", "holdout", "", "dev"]
    expected = {
        "train": ["Train"], "validation": ["val"], "dev": ["dev"], "split test is not in data.splits": ["test"],
        "unknown split 'holdout': use train, validation or test": ["holdout"],
    }  # fmt: skip
    path = tmp_path / "p.csv"
    path.write_text("sku,image,split\n" + "".join(f"s{i},a.jpg,{cell}\n" for i, cell in enumerate(cells)))
    reading = read_source(Catalogue(str(path)), ["train", "validation"])
    found: dict[str, list[str]] = {}
    for r in reading.records:
        found.setdefault(r.split, []).append(cells[int(r.sku_id[1:])])
    for s in reading.skipped:
        found.setdefault(s.reason, []).append(cells[(s.item or 0) - 1])
    hashed = next(split for split, names in found.items() if "" in names)
    assert hashed in ("train", "validation")
    found[hashed].remove("")
    assert found == expected


def test_a_sku_in_several_splits_is_told(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("sku,image,split\nA,1.jpg,train\nA,2.jpg,val\nB,3.jpg,train\nB,4.jpg,train\nA,5.jpg,test\n")
    reading = read_source(Catalogue(str(path)), ["train", "validation"])
    told = "SKU in several splits: it is a product of its own in each"
    assert reading.noted == [Skipped("train", "p.csv", 2, told, "A: train (from row 1), validation (from row 2)")]
    assert len(reading.records) == 4


NAMES = ["a.jpg", "b.PNG", "notes.txt", "._a.jpg", ".DS_Store", "c.jpeg.part", "noending", "SKU/1.jpg", "SKU/d/2.webp",
         "other/readme.md", "other/3.gif"]  # fmt: skip


@pytest.mark.parametrize("seed", range(100))
def test_every_file_of_a_folder_is_accounted_for(tmp_path: Path, seed: int) -> None:
    draw = random.Random(f"folder {seed}")
    names = ["first.jpg", *draw.sample(NAMES, draw.randrange(len(NAMES)))]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / ".#lock.txt").symlink_to("nobody@nowhere:1")
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    with open(os.fsencode(tmp_path) + b"/\xff.jpg", "wb"):
        pass
    expected = {*names, "dangling.jpg", ".#lock.txt", "elsewhere", "\\udcff.jpg"}
    reading = read_source(PhotoFolder(str(tmp_path)), _asked(draw))
    found = [r.orig_image_path for r in reading.records] + [s.file for s in reading.skipped]
    assert Counter(found) == Counter(expected)
    assert reading.rows == len(expected)


ITEM = {"style": 1, "bounding_box": [0, 0, 9, 9], "category_id": 1}
ITEMS: list[Any] = [
    ITEM, ITEM, ITEM | {"style": 0}, ITEM | {"bounding_box": [5, 5, 5, 5]}, {}, None, "x", ITEM | {"style": 10**30},
    ITEM | {"bounding_box": [0, 0, 10**400, 9]}, ITEM | {"occlusion": 10**400}, ITEM | {"category_name": "\ud83d"},
]  # fmt: skip
HEADS: list[dict[str, Any]] = [
    {"source": "shop", "pair_id": 1}, {"source": "user", "pair_id": 2}, {"source": "user"}, {"source": ["x"]},
    {"source": "shop", "pair_id": float("inf")}, {"source": "shop", "pair_id": 10**30},
]  # fmt: skip
TEXTS = ["", "[1]", "{", "null", '"x"', "[" * 100_000, '{"source": "shop", "pair_id": 1}']
KEYS = ["item1", "item2", "item01", "item²", "item" + "9" * 5000, "itemX", "items"]
FOLDERS = ["train", "validation", "test", "val", "Training", "dev", "extra", "TEST"]


def _layout(root: Path, draw: random.Random) -> Counter[str]:
    """Write a tree in DeepFashion2 layout; return how many rows each folder holds if it is read, counted by hand."""
    rows: Counter[str] = Counter()
    for folder in ["train", *draw.sample(FOLDERS[1:], draw.randrange(5))]:
        for kind in ("image", "annos"):
            (root / folder / kind).mkdir(parents=True)
        for number in range(draw.randrange(1, 7)):
            has_image, has_text = draw.random() < 0.8, draw.random() < 0.8
            if has_image:
                (root / folder / "image" / f"{number}.jpg").touch()
            if not has_text:
                rows[folder] += has_image
                continue
            keys = draw.sample(KEYS, draw.randrange(4))
            body = {**draw.choice(HEADS), **{key: draw.choice(ITEMS) for key in keys}}
            items = sum(key in ("item1", "item2", "item01") for key in keys)
            text = json.dumps(body) if (whole := draw.random() < 0.8) else draw.choice(TEXTS)
            (root / folder / "annos" / f"{number}.json").write_text(text)
            rows[folder] += max(items, 1) if whole else 1
        (root / folder / "annos" / "dangling.json").symlink_to("gone.json")
        (root / folder / "annos" / "folder.json").mkdir()
        (root / folder / "annos" / "notes.txt").touch()
        (root / folder / "image" / "0.png").symlink_to("gone.png")
        rows[folder] += 3 + (root / folder / "image" / "0.jpg").exists()
        if not (root / folder / "image" / "0.jpg").exists() and not (root / folder / "annos" / "0.json").exists():
            rows[folder] += 1  # then 0.png is an image without an annotation
    return rows


@pytest.mark.parametrize("seed", range(100))
def test_every_item_of_a_layout_is_accounted_for(tmp_path: Path, seed: int) -> None:
    draw = random.Random(f"layout {seed}")
    by_folder = _layout(tmp_path, draw)
    asked = _asked(draw)
    source = DeepFashion2(str(tmp_path))
    reading = read_source(source, asked)
    read = {folder for split, folder in source.folders.items() if split in asked}
    passed_over = {s.file: s.count for s in reading.skipped if s.file in by_folder}
    assert set(passed_over) == set(by_folder) - read
    for folder, count in passed_over.items():
        assert count == len(list((tmp_path / folder / "annos").iterdir()))
    rows_read = sum(by_folder[folder] for folder in read)
    assert reading.rows == rows_read + sum(passed_over.values()) == len(reading.records) + left_out(reading.skipped)
    json.dumps([vars(s) for s in reading.skipped]).encode()


def test_spellings_of_folders(tmp_path: Path) -> None:
    for folder in ("Training", "val", "extra"):
        for kind in ("image", "annos"):
            (tmp_path / folder / kind).mkdir(parents=True)
        (tmp_path / folder / "image" / "1.jpg").touch()
        (tmp_path / folder / "annos" / "1.json").write_text(json.dumps({"source": "shop", "pair_id": 1, "item1": ITEM}))
    reading = read_source(DeepFashion2(str(tmp_path)), ALL)
    found = {(r.split, r.orig_image_path) for r in reading.records}
    assert found == {("train", "Training/image/1.jpg"), ("validation", "val/image/1.jpg")}
    told = "unknown split 'extra': use train, validation or test"
    assert reading.skipped == [Skipped("extra", "extra", None, told, "its files", 1)]
    assert list(reading.absent) == ["test"]


def test_images_of_an_unlabelled_split_are_counted(tmp_path: Path) -> None:
    for name in ("train/annos/1.json", "train/image/1.jpg", "test/image/1.jpg", "test/image/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"source": "shop", "pair_id": 1, "item1": ITEM}))
    reading = read_source(DeepFashion2(str(tmp_path)), ALL)
    assert [(s.file, s.reason, s.count) for s in reading.skipped] == [
        ("test", "split test has no annos/ (no labels)", 2),
    ]  # fmt: skip
    assert reading.rows == 3


BROKEN = ["{", "[]", "null", '{"sku_id": "A"}', "\ud83d"]
CHANGES: list[dict[str, Any]] = [
    {"domain": "billboard"}, {"image_path": None}, {"text": 7}, {"pair_id": "x"}, {"text": "\ud83d"},
]  # fmt: skip


@pytest.mark.parametrize("seed", range(100))
def test_every_line_of_an_exported_folder_is_accounted_for(tmp_path: Path, seed: int, prepared: Any) -> None:
    draw = random.Random(f"exported {seed}")
    lines: Counter[str] = Counter()
    for name in ["train", *draw.sample(["dev", "validation", "test", "other"], draw.randrange(5))]:
        records, extra = draw.choices(prepared.records, k=draw.randrange(1, 12)), draw.randrange(4)
        write_records(tmp_path / f"{name}_image_text.jsonl", records)
        more = [draw.choice([*BROKEN, json.dumps(records[0].to_dict() | draw.choice(CHANGES))]) for _ in range(extra)]
        with (tmp_path / f"{name}_image_text.jsonl").open("ab") as file:
            file.write("\n \n".join(more).encode("utf-8", "surrogatepass"))
        lines[name] = len(records) + extra
    asked = _asked(draw)
    source = Prepared(str(tmp_path))
    assert set(source.files(list(ALL))) >= {f"{name}_image_text.jsonl" for name in lines if name != "other"}
    reading = read_source(source, asked)
    assert reading.rows == sum(lines.values()) == len(reading.records) + left_out(reading.skipped)
    views = [(r.split, r.domain, r.sku_id, r.view_id) for r in reading.records]
    assert len(set(views)) == len(views)  # each has a crop of its own


class Careless(Source):
    """A source that drops rows, or counts some twice, without a word."""

    def __init__(self, records: Sequence[CropRecord], rows: int) -> None:
        self.records, self.rows = list(records), rows

    def read(self, split: str) -> tuple[list[CropRecord], list[Skipped]]:
        return self.records, []

    def rest(self, splits: Sequence[str]) -> list[Skipped]:
        return []

    def size(self) -> int:
        return self.rows


@pytest.mark.parametrize(("rows", "told"), [(3, "1 vanished"), (1, "1 are counted twice")])
def test_a_source_that_loses_rows_is_a_loud_fault_of_ours(prepared: Any, rows: int, told: str) -> None:
    with pytest.raises(UnaccountedRowsError, match=rf"Careless: {rows} rows came in, 2 are kept and 0.*{told}"):
        read_source(Careless(prepared.records[:2], rows), ["train"])
    assert not issubclass(UnaccountedRowsError, UserError)
    assert read_source(Careless(prepared.records[:2], 2), ["train"]).rows == 2


def test_the_balance_counts_what_an_entry_stands_for() -> None:
    skipped = [Skipped("test", "test", None, "why", count=7), Skipped("train", "a", 1, "why")]
    balance("x", 10, 2, skipped)
    with pytest.raises(UnaccountedRowsError):
        balance("x", 10, 2, [replace(skipped[0], count=6), skipped[1]])


def test_a_split_of_no_name_is_refused_with_what_is_meant(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UserError, match=r"no split 'Val'\. Did you mean 'validation'"):
        read_source(PhotoFolder(str(tmp_path)), ["Val"])
    with pytest.raises(UserError, match=r"no split 'foo'\. Valid: test, train, validation"):
        read_source(PhotoFolder(str(tmp_path)), ["foo"])


def test_a_split_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / f"{i}.jpg").touch()
    assert len(read_source(PhotoFolder(str(tmp_path)), ["train", "validation", "train"]).records) == 20
