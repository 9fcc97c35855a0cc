"""stage=prepare, run on a hand-made tree: what becomes of the masks on the way to shards and back."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from rich.console import Console

from skufp.artifacts.folder import read_json
from skufp.artifacts.records import read_records
from skufp.data.shards import decode_mask, decode_sample, raw_samples, shard_files
from skufp.stages import prepare

SQUARE = [20, 30, 39, 30, 39, 49, 20, 49]  # the pixels 20..39 x 30..49
BOX = [10, 20, 50, 60]
NO_MASK = {2: "segmentation unusable: no mask", 3: "segmentation outside the crop: no mask"}


def _item(style: int, segmentation: Any) -> dict[str, Any]:
    return {"style": style, "bounding_box": BOX, "category_id": 1, "segmentation": segmentation}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A shop photo of four styles (a square, a broken polygon, one beside the box, none), a user photo of the first."""
    root = tmp_path / "df2"
    shop = {"source": "shop", "pair_id": 1}
    for style, segmentation in enumerate(([SQUARE], [[1, 2, 3]], [[60, 70, 70, 70, 70, 79]], []), 1):
        shop[f"item{style}"] = _item(style, segmentation)
    user = {"source": "user", "pair_id": 1, "item1": _item(1, [SQUARE])}
    for kind in ("image", "annos"):
        (root / "validation" / kind).mkdir(parents=True)
    for name, annotation in (("000001", shop), ("000002", user)):
        Image.new("RGB", (80, 80), "white").save(root / "validation" / "image" / f"{name}.jpg")
        (root / "validation" / "annos" / f"{name}.json").write_text(json.dumps(annotation))
    return root


def _run(source: dict[str, Any], out: Path) -> Path:
    data = {
        "name": "tree", "source": source, "splits": ["validation"], "dev_share": 0.1, "held_out_share": 0.2,
        "only_pairs": False, "margin": 0.1, "max_side": 640, "shard_size": 100, "export_to": f"{out} laid out",
    }  # fmt: skip
    cfg: DictConfig = OmegaConf.create({"data": data, "workers": 1, "progress": False})
    out.mkdir()
    prepare.run(cfg, {}, out)
    prepare.show(cfg, out, Console(file=io.StringIO()))
    return out


def _samples(folder: Path, name: str) -> dict[int, dict[str, Any]]:
    return {json.loads(s["json"])["style"]: s for s in raw_samples(shard_files(folder / "shards", name))}


def _check(folder: Path) -> None:
    """Assert that style 1 alone has a mask, that it is the square in the widened box, and where it is named."""
    records = read_records(folder / "validation_image_text.jsonl")
    name = "validation/catalog/000001_01_01/000001_item1.mask.png"
    assert {(r.domain, r.style): r.mask_path for r in records} == {
        ("catalog", 1): name, ("catalog", 2): "", ("catalog", 3): "", ("catalog", 4): "", ("query", 1): "",
    }  # fmt: skip
    assert [str(p.relative_to(folder)) for p in sorted(folder.rglob("*.mask.png"))] == [name]
    samples = _samples(folder, "validation-catalog")
    expected = np.zeros((48, 48), np.float32)  # the box, 4 pixels wider on each side, begins at 6, 16
    expected[14:34, 14:34] = 1
    mask = decode_mask(samples[1])
    assert mask is not None
    assert mask.dtype == np.float32
    assert np.array_equal(mask, expected)
    assert decode_sample(samples[1])[0].size == (48, 48)
    assert [decode_mask(samples[style]) for style in (2, 3, 4)] == [None] * 3
    assert decode_mask(_samples(folder, "validation-query")[1]) is None
    assert read_json(folder / "report.json")["masks"] == {"validation": 1}


def test_masks_reach_the_shards_and_what_has_none_is_reported(tree: Path, tmp_path: Path) -> None:
    folder = _run({"_target_": "skufp.data.deepfashion2.DeepFashion2", "root": str(tree)}, tmp_path / "first")
    _check(folder)
    report = read_json(folder / "report.json")
    assert {row["item"]: row["reason"] for row in report["adjusted"]} == NO_MASK
    assert set(report["adjusted_by_reason"]) == set(NO_MASK.values())
    assert report["skipped"] == []
    assert "polygon" not in (folder / "validation_image_text.jsonl").read_text()


def test_labels_become_rich_texts_of_all_photos_of_a_sku(tree: Path, tmp_path: Path) -> None:
    rows = [
        {"split": "validation", "sku_id": "000001_01_01", "colour": "Red", "title": "The red one"},
        {"split": "validation", "sku_id": "000001_02_01", "title": "No label"},
        {"split": "train", "sku_id": "000001_03_01", "colour": "blue"},
    ]
    (tree / "products.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = _run({"_target_": "skufp.data.deepfashion2.DeepFashion2", "root": str(tree)}, tmp_path / "first")
    expected = {
        ("catalog", 1): "red short sleeve top", ("query", 1): "red short sleeve top",
        ("catalog", 2): "", ("catalog", 3): "", ("catalog", 4): "",
    }  # fmt: skip
    records = read_records(folder / "validation_image_text.jsonl")
    assert {(r.domain, r.style): r.rich_text for r in records} == expected
    for domain in ("catalog", "query"):
        for style, sample in _samples(folder, f"validation-{domain}").items():
            assert json.loads(sample["json"])["rich_text"] == expected[domain, style]
    report = read_json(folder / "report.json")
    assert (report["products_with_fields"], report["products_with_rich_text"]) == (2, 1)
    laid = tmp_path / "first laid out"
    again = _run({"_target_": "skufp.data.sources.Prepared", "root": str(laid)}, tmp_path / "second")
    assert [r.rich_text for r in read_records(again / "validation_image_text.jsonl")] == [r.rich_text for r in records]


def test_an_exported_folder_comes_back_with_its_masks(tree: Path, tmp_path: Path) -> None:
    _run({"_target_": "skufp.data.deepfashion2.DeepFashion2", "root": str(tree)}, tmp_path / "first")
    laid = tmp_path / "first laid out"
    _check(laid)
    again = _run({"_target_": "skufp.data.sources.Prepared", "root": str(laid)}, tmp_path / "second")
    _check(again)
    for name in ("jpg", "mask.png"):
        assert _samples(again, "validation-catalog")[1][name] == _samples(laid, "validation-catalog")[1][name]
    assert read_json(again / "report.json")["adjusted"] == []


def test_a_mask_lost_from_an_exported_folder_is_reported(tree: Path, tmp_path: Path) -> None:
    _run({"_target_": "skufp.data.deepfashion2.DeepFashion2", "root": str(tree)}, tmp_path / "first")
    laid = tmp_path / "first laid out"
    next(laid.rglob("*.mask.png")).unlink()
    again = _run({"_target_": "skufp.data.sources.Prepared", "root": str(laid)}, tmp_path / "second")
    assert [row["reason"] for row in read_json(again / "report.json")["adjusted"]] == ["mask file unusable: no mask"]
    assert not any(r.mask_path for r in read_records(again / "validation_image_text.jsonl"))
