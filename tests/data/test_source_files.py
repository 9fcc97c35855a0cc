"""Each source says which files it reads: those, and no others, decide whether photos are prepared again."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from skufp.artifacts.ledger import Ledger
from skufp.artifacts.records import CATALOG
from skufp.data.crops import open_image
from skufp.data.deepfashion2 import DeepFashion2
from skufp.data.generated import Generated
from skufp.data.sources import Catalogue, MissingSplitError, PhotoFolder, Prepared, Source, whole_image
from skufp.outside import fingerprint

SPLITS = ["train", "validation"]


def _photo(path: Path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), grey).save(path)


def _catalogue(root: Path) -> Source:
    for name in ("a.jpg", "b.jpg"):
        _photo(root / "photos" / name)
    (root / "products.csv").write_text(
        "sku,image,split\n1,photos/a.jpg,train\n2,photos/b.jpg,validation\n3,gone.jpg,\n"
    )
    return Catalogue(str(root / "products.csv"))


def _folder(root: Path) -> Source:
    for name in ("a/1.jpg", "a/2.png", "b.jpg"):
        _photo(root / name)
    (root / "dangling.jpg").symlink_to("nowhere.jpg")
    return PhotoFolder(str(root))


def _deepfashion2(root: Path) -> Source:
    item = {"style": 1, "bounding_box": [0, 0, 8, 8], "category_id": 1}
    for split in SPLITS:
        _photo(root / split / "image" / "000001.jpg")
        (root / split / "annos").mkdir()
        annotation = {"source": "shop", "pair_id": 1, "item1": item}
        (root / split / "annos" / "000001.json").write_text(json.dumps(annotation))
    return DeepFashion2(str(root))


def _prepared(root: Path) -> Source:
    for split in ("train", "dev", "validation"):
        _photo(root / split / "1.jpg")
        _photo(root / split / "1.mask.png")
        record = whole_image(split, "sku", 1, CATALOG, f"{split}/1.jpg", 1, "")
        record.image_path, record.mask_path = f"{split}/1.jpg", f"{split}/1.mask.png"
        (root / f"{split}_image_text.jsonl").write_text(json.dumps(record.to_dict()) + "\n")
    return Prepared(str(root))


NAMES = {
    _catalogue: {"manifest products.csv", "photos/a.jpg", "photos/b.jpg", "gone.jpg"},
    _folder: {"products.jsonl", "a/1.jpg", "a/2.png", "b.jpg", "dangling.jpg"},
    _deepfashion2: {"products.jsonl", *(f"{s}/{f}" for s in SPLITS for f in ("image/000001.jpg", "annos/000001.json"))},
    _prepared: {"products.jsonl", *(f"{s}{f}" for s in ("train", "dev", "validation")
                                    for f in ("/1.jpg", "/1.mask.png", "_image_text.jsonl"))},
}  # fmt: skip


OPEN: dict[Any, Callable[[Path], Source]] = {
    _catalogue: lambda root: Catalogue(str(root / "products.csv")), _folder: lambda root: PhotoFolder(str(root)),
    _deepfashion2: lambda root: DeepFashion2(str(root)), _prepared: lambda root: Prepared(str(root)),
}  # fmt: skip


def _print(source: Source) -> str:
    return fingerprint(source.files(SPLITS), Ledger(None))


@pytest.mark.parametrize("make", NAMES, ids=lambda make: make.__name__)
def test_a_source_names_what_it_reads(tmp_path: Path, make: Callable[[Path], Source]) -> None:
    files = make(tmp_path).files(SPLITS)
    assert set(files) == NAMES[make]
    for name, path in files.items():
        assert Path(path) == tmp_path / name.removeprefix("manifest ")


@pytest.mark.parametrize("make", NAMES, ids=lambda make: make.__name__)
def test_each_file_counts_by_content_and_not_by_place_or_time(tmp_path: Path, make: Any) -> None:
    before = _print(make(tmp_path / "two"))
    for file in (tmp_path / "two").rglob("*"):
        if file.exists():
            os.utime(file)
    (tmp_path / "two").rename(tmp_path / "three")
    (tmp_path / "three" / "notes.txt").write_text("nothing that is read")
    now: Callable[[], str] = lambda: _print(again(tmp_path / "three"))  # noqa: E731
    again = OPEN[make]
    assert now() == before
    for name, path in again(tmp_path / "three").files(SPLITS).items():
        file = Path(path)
        if file.exists():
            content = file.read_bytes()
            file.write_bytes(content + b"\n")
            assert now() != before, name
            if file.suffix in (".jpg", ".png"):
                file.unlink()
                assert now() != before, name
            file.write_bytes(content)
        else:
            target = file.readlink() if file.is_symlink() else None
            file.unlink(missing_ok=True)
            file.write_bytes(b"here at last")
            assert now() != before, name
            file.unlink()
            if target:
                file.symlink_to(target)
        assert now() == before, name


def test_a_split_that_is_not_read_does_not_count(tmp_path: Path) -> None:
    source = _deepfashion2(tmp_path)
    assert set(source.files(["train"])) == {"products.jsonl", "train/image/000001.jpg", "train/annos/000001.json"}
    assert set(source.files(["test"])) == {"products.jsonl"}


def test_links_that_lead_nowhere_become_rows_that_cannot_be_read(tmp_path: Path) -> None:
    source = _folder(tmp_path)
    records = []
    for split in SPLITS:
        try:
            records += source.read(split)[0]
        except MissingSplitError:
            continue
    assert sorted(r.orig_image_path for r in records) == ["a/1.jpg", "a/2.png", "b.jpg", "dangling.jpg"]
    assert {r.orig_image_path: r.sku_id for r in records}["a/1.jpg"] == "a"
    with pytest.raises(Exception, match="image file is a link to a file that is missing"):
        open_image(tmp_path / "dangling.jpg")


def test_stage_folders_among_the_photos_are_left_out(tmp_path: Path) -> None:
    _photo(tmp_path / "a.jpg")
    _photo(tmp_path / "runs" / "prepare" / "x" / "crop.jpg")
    _photo(tmp_path / "cache" / "b.jpg")
    source = PhotoFolder(str(tmp_path), [str(tmp_path / "runs"), str(tmp_path / "cache")])
    assert source.photos == ["a.jpg"]


def test_the_generated_catalogue_reads_no_file() -> None:
    assert Generated(seed=3).files(SPLITS) == {}


def test_a_broken_line_of_a_prepared_folder_names_no_file(tmp_path: Path) -> None:
    """It is a row of the report."""
    source = _prepared(tmp_path)
    table = tmp_path / "train_image_text.jsonl"
    table.write_text(table.read_text() + '[]\n\n{"image_path": "train/2.jpg"}\n')
    assert set(source.files(SPLITS)) == NAMES[_prepared]


def test_a_source_must_say_what_it_reads() -> None:
    with pytest.raises(NotImplementedError, match="Source must say"):
        Source().files(SPLITS)
