"""Garment masks: what is filled, what cannot be, and that a mask lies over its crop."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skufp.artifacts.records import CropRecord
from skufp.data.crops import adjusted, cut_all, plan_crops
from skufp.data.masks import crop_mask, draw_mask

SQUARE = [60, 20, 99, 20, 99, 59, 60, 59]  # the pixels 60..99 x 20..59
UNUSABLE = {
    "two points": [[1, 2, 3, 4]], "odd": [[1, 2, 3, 4, 5, 6, 7]], "words": [["a", "b", "c", "d", "e", "f"]],
    "digits as words": [["1", "1", "9", "1", "9", "9"]], "null": [[1, 1, 9, None, 9, 9]],
    "nan": [[1, 1, 9, float("nan"), 9, 9]], "infinite": [[1, 1, float("inf"), 1, 9, 9]], "far": [[1, 1, 1e9, 1, 9, 9]],
    "pairs": [[[1, 1], [9, 1], [9, 9]]], "ragged": [[[1, 1], [9]]], "flat": SQUARE, "run length": {"counts": [1, 2]},
    "word": "polygon", "number": 7, "empty": [[]],
}  # fmt: skip


def _drawn(polygons: Any, size: tuple[int, int] = (200, 100)) -> np.ndarray:
    mask, _ = draw_mask(polygons, size)
    assert mask is not None
    return np.array(mask)


def test_a_square_is_filled_with_its_outline() -> None:
    expected = np.zeros((100, 200), np.uint8)
    expected[20:60, 60:100] = 255
    assert np.array_equal(_drawn([SQUARE]), expected)
    assert draw_mask([SQUARE], (200, 100))[1] == ""


def test_points_are_rounded_to_the_nearest_pixel() -> None:
    assert np.array_equal(_drawn([[v + 0.4 for v in SQUARE]]), _drawn([SQUARE]))
    assert np.array_equal(_drawn([[v - 0.4 for v in SQUARE]]), _drawn([SQUARE]))


def test_the_garment_is_the_union_of_its_polygons_even_where_they_overlap() -> None:
    apart, inside = [0, 0, 9, 0, 9, 9, 0, 9], [70, 30, 80, 30, 80, 40, 70, 40]
    expected = _drawn([SQUARE])
    expected[:10, :10] = 255
    assert np.array_equal(_drawn([SQUARE, apart, inside]), expected)


def test_what_reaches_beyond_the_image_is_cut_off() -> None:
    expected = np.zeros((100, 200), np.uint8)
    expected[:21, :31] = 255
    assert np.array_equal(_drawn([[-500, -40, 30, -40, 30, 20, -500, 20]]), expected)


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_polygons_are_counted_and_never_drawn(name: str) -> None:
    polygons = UNUSABLE[name]
    count = len(polygons) if isinstance(polygons, list) else 1
    assert draw_mask(polygons, (200, 100)) == (None, f"{count} of {count} polygons cannot be used")


def test_a_usable_polygon_is_drawn_without_its_unusable_neighbours() -> None:
    mask, detail = draw_mask([[1, 2, 3], SQUARE, [1, 1, 9, float("nan"), 9, 9]], (200, 100))
    assert np.array_equal(np.asarray(mask), _drawn([SQUARE]))
    assert detail == "2 of 3 polygons cannot be used"


def test_a_shrunk_pixel_is_garment_where_at_least_half_of_it_is() -> None:
    pixels = np.zeros((4, 6), np.uint8)
    pixels[:2, :3] = 255  # halved: all of the first pixel, half of the second
    pixels[0, 4] = 255  # a quarter of the third
    mask = crop_mask(Image.fromarray(pixels), (0, 0, 6, 4), (3, 2))
    assert mask is not None
    assert np.asarray(mask).tolist() == [[True, True, False], [False, False, False]]
    assert crop_mask(Image.fromarray(pixels), (0, 2, 6, 4), (3, 1)) is None


def _record(outline: Any, item: int = 1, bbox: list[int] | None = None, image: str = "a.png") -> CropRecord:
    return CropRecord(
        split="train", sku_id="000001_01_01", pair_id=1, style=1, category_id=1, category_name="vest", domain="catalog",
        image_path="", orig_image_path=image, image_id=Path(image).stem, item_idx=item, bbox=bbox, occlusion=0,
        viewpoint=0, text="", outline=outline,
    )  # fmt: skip


def _cut(records: list[CropRecord], root: Path, max_side: int = 640, margin: float = 0.0, workers: int = 1) -> Path:
    out = root / f"out{workers}"
    out.mkdir(exist_ok=True)
    assert cut_all(plan_crops(records, root), out, margin, max_side, workers, lambda n: None) == []
    return out


def _photo(root: Path, name: str = "a.png", **options: Any) -> None:
    """Black, with the square in white."""
    Image.fromarray(_drawn([SQUARE])).convert("RGB").save(root / name, **options)


def test_a_mask_lies_over_its_crop_through_margin_and_shrinking(tmp_path: Path) -> None:
    _photo(tmp_path)
    record = _record([SQUARE], bbox=[50, 10, 110, 70])
    out = _cut([record], tmp_path, max_side=36, margin=0.1)  # 6 pixels of margin: 44..116 x 4..76, halved
    expected = np.zeros((36, 36), bool)
    expected[8:28, 8:28] = True
    mask = Image.open(out / record.mask_path)
    assert (mask.mode, mask.size) == ("1", Image.open(out / record.image_path).size)
    assert np.array_equal(np.asarray(mask), expected)
    bright = np.asarray(Image.open(out / record.image_path).convert("L")) > 127
    assert np.array_equal(bright, expected)
    assert record.mask_path == "train/catalog/000001_01_01/a_item1.mask.png"


def test_a_turned_photo_is_masked_as_it_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated by 90 degrees clockwise: 100 x 200
    _photo(tmp_path, "a.jpg", exif=exif, quality=95)
    record = _record([[40, 60, 79, 60, 79, 99, 40, 99]], image="a.jpg", bbox=[30, 50, 90, 110])
    out = _cut([record], tmp_path)
    mask = np.asarray(Image.open(out / record.mask_path))
    bright = np.asarray(Image.open(out / record.image_path).convert("L")) > 127
    assert mask.sum() == 1600
    assert (mask != bright).sum() < 40


def test_an_item_without_polygons_has_no_mask_and_no_report(tmp_path: Path) -> None:
    _photo(tmp_path)
    record = _record(None, bbox=[50, 10, 110, 70])
    out = _cut([record], tmp_path)
    assert record.mask_path == ""
    assert not list(out.rglob("*.mask.png"))
    assert adjusted(out) == []


def test_a_mask_that_cannot_be_made_or_only_in_part_is_reported(tmp_path: Path) -> None:
    _photo(tmp_path)
    box = [50, 10, 110, 70]
    records = [
        _record([[1, 2, 3], SQUARE], 1, box), _record([[1, 2, 3]], 2, box), _record([SQUARE], 3, [0, 70, 20, 90]),
        _record(tmp_path / "gone.png", 4, box), _record([SQUARE], 5, [50, 10, 300, 70]),
    ]  # fmt: skip
    out = _cut(records, tmp_path)
    assert [(s.item, s.file, s.reason, s.detail) for s in adjusted(out)] == [
        (1, "a.png", "segmentation unusable in part: mask of the rest", "1 of 2 polygons cannot be used"),
        (2, "a.png", "segmentation unusable: no mask", "1 of 1 polygons cannot be used"),
        (3, "a.png", "segmentation outside the crop: no mask", "crop [0, 70, 20, 90]"),
        (4, "a.png", "mask file unusable: no mask", "image file is missing (gone.png)"),
        (5, "a.png", "box sticks out: clamped to the image", "box [50, 10, 300, 70], image 200x100"),
    ]
    assert [(out / r.mask_path).is_file() for r in records] == [True, False, False, False, True]
    assert all((out / r.image_path).is_file() for r in records)


def test_a_ready_mask_is_taken_over_with_the_photo(tmp_path: Path) -> None:
    _photo(tmp_path, "a.jpg")
    Image.fromarray(_drawn([SQUARE])).convert("1").save(tmp_path / "a.mask.png")
    Image.new("1", (10, 10), 1).save(tmp_path / "small.png")
    records = [_record(tmp_path / "a.mask.png", image="a.jpg"), _record(tmp_path / "small.png", 2, image="a.jpg")]
    out = _cut(records, tmp_path)
    assert (out / records[0].image_path).read_bytes() == (tmp_path / "a.jpg").read_bytes()
    assert np.array_equal(np.asarray(Image.open(out / records[0].mask_path)), _drawn([SQUARE]) > 0)
    assert [(s.item, s.detail) for s in adjusted(out)] == [(2, "mask 10x10, image 200x100")]


def test_a_killed_run_ends_with_the_same_masks_in_any_number_of_processes(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(4)]
    for name in names:
        _photo(tmp_path, name)
    outlines = [[SQUARE], [[1]], [SQUARE, [2]], [SQUARE]]
    records = [_record(o, bbox=[50, 10, 110, 70], image=name) for o, name in zip(outlines, names, strict=True)]
    results = []
    for workers in (1, 2):
        out = _cut(records, tmp_path, workers=workers)
        journal = out / "crops.journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:2]) + lines[2][:9])  # killed, with a mask half-written
        (out / records[2].mask_path).write_bytes(b"\x89PNG")
        (out / records[3].mask_path).unlink()
        _cut(records, tmp_path, workers=workers)
        masks = {p.relative_to(out): p.read_bytes() for p in out.rglob("*.mask.png")}
        results.append((masks, adjusted(out)))
    assert results[0] == results[1]
    assert set(map(str, results[0][0])) == {records[i].mask_path for i in (0, 2, 3)}
    assert len(set(results[0][0].values())) == 1
    assert len(results[0][1]) == 2
