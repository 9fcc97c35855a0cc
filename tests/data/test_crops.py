"""Cropping: boxes, orientation, faults, resume, processes."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skufp.artifacts.folder import Journal
from skufp.artifacts.records import CropRecord
from skufp.data.crops import BATCH, clamp, cut_all, plan_crops
from skufp.data.decode import UnreadableImageError, flatten, open_image


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((10, 20, 30, 60), 0.0, (10, 20, 30, 60)),
        ((10, 20, 30, 60), 0.1, (8, 16, 32, 64)),
        ((-5, -5, 30, 60), 0.0, (0, 0, 30, 60)),
        ((50, 40, 200, 200), 0.0, (50, 40, 100, 80)),
        ((-50, -50, 300, 300), 0.5, (0, 0, 100, 80)),
        ((0, 0, 100, 80), 1.0, (0, 0, 100, 80)),
        ((120, 10, 160, 40), 0.0, None),
        ((-40, 10, -10, 40), 0.0, None),
        ((10, 80, 30, 120), 0.0, None),
    ],
)
def test_clamp(box: tuple[int, int, int, int], margin: float, expected: tuple[int, int, int, int] | None) -> None:
    assert clamp(box, (100, 80), margin) == expected


def _save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def _halves(width: int = 60, height: int = 40) -> Image.Image:
    """Left half red, right half blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    path = _save(tmp_path / "a.jpg", _halves(), exif=exif, quality=95)
    picture = open_image(path)
    assert picture.size == (40, 60)
    top, bottom = picture.getpixel((20, 5)), picture.getpixel((20, 55))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[0] > 200 > top[2]
    assert bottom[2] > 200 > bottom[0]


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    pixels = np.zeros((10, 10, 4), np.uint8)
    pixels[:5, :, 3] = 255
    picture = open_image(_save(tmp_path / "a.png", Image.fromarray(pixels)))
    assert picture.mode == "RGB"
    assert picture.getpixel((5, 0)) == (0, 0, 0)
    assert picture.getpixel((5, 9)) == (255, 255, 255)


def test_palette_with_a_transparent_colour_becomes_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putpixel((0, 0), 1)
    picture = open_image(_save(tmp_path / "a.png", image, transparency=0))
    assert picture.getpixel((3, 3)) == (255, 255, 255)
    assert picture.getpixel((0, 0)) == (200, 0, 0)


@pytest.mark.parametrize("mode", ["L", "LA", "CMYK", "1", "P", "RGBA", "HSV"])
def test_flatten_makes_rgb_of_any_mode(mode: str) -> None:
    image = Image.new(mode, (6, 5))
    assert (flatten(image).mode, flatten(image).size) == ("RGB", (6, 5))


def _truncated() -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)).save(data, "JPEG")
    return data.getvalue()[: len(data.getvalue()) // 2]


FAULTS = {
    "zero.jpg": (b"", "zero-byte image"),
    "text.jpg": (b"<html>not found</html>", "not an image"),
    "truncated.jpg": (_truncated(), "image does not decode"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_unreadable_images(tmp_path: Path, name: str) -> None:
    content, reason = FAULTS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableImageError) as caught:
        open_image(tmp_path / name)
    assert caught.value.reason == reason


def test_missing_image(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="image file is missing"):
        open_image(tmp_path / "nowhere.jpg")


def _record(image: str, item: int = 1, bbox: list[int] | None = None, **changes: Any) -> CropRecord:
    base = CropRecord(
        split="train", sku_id="000001_01_01", pair_id=1, style=1, category_id=1, category_name="vest", domain="query",
        image_path="", orig_image_path=image, image_id=Path(image).stem, item_idx=item, bbox=bbox, occlusion=0,
        viewpoint=0, text="",
    )  # fmt: skip
    return replace(base, **changes)


def _cut(records: list[CropRecord], root: Path, out: Path, workers: int = 1, **options: Any) -> list[Any]:
    out.mkdir(exist_ok=True)
    settings = {"margin": 0.0, "max_side": 640} | options
    return cut_all(plan_crops(records, root), out, workers=workers, advance=lambda n: None, **settings)


def test_plan_names_crops_and_groups_them_by_image() -> None:
    records = [
        _record("train/image/7.jpg", 1, [0, 0, 5, 5]), _record("train/image/8.jpg", 1),
        _record("train/image/7.jpg", 2, [5, 5, 9, 9], domain="catalog", sku_id="my sku.v2"),
    ]  # fmt: skip
    tasks = plan_crops(records, Path("/photos"))
    assert [t.name for t in tasks] == ["train/image/7.jpg", "train/image/8.jpg"]
    assert tasks[0].source == "/photos/train/image/7.jpg"
    assert [crop.box for crop in tasks[0].crops] == [(0, 0, 5, 5), (5, 5, 9, 9)]
    assert records[0].image_path == "train/query/000001_01_01/7_item1.jpg"
    folder = Path(records[2].image_path).parts[2]
    assert folder.startswith("my_sku_v2-")
    assert "." not in folder


def test_crops_hold_the_box(tmp_path: Path) -> None:
    _save(tmp_path / "a.jpg", _halves(), quality=95)
    records = [_record("a.jpg", 1, [0, 0, 28, 40]), _record("a.jpg", 2, [32, 10, 90, 35])]
    assert _cut(records, tmp_path, tmp_path / "out") == []
    left, right = (Image.open(tmp_path / "out" / r.image_path) for r in records)
    assert left.size == (28, 40)
    assert right.size == (28, 25)
    assert np.asarray(left).mean(axis=(0, 1))[0] > 200
    assert np.asarray(right).mean(axis=(0, 1))[2] > 200


def test_large_crops_are_shrunk_and_small_ones_are_never_grown(tmp_path: Path) -> None:
    _save(tmp_path / "a.jpg", _halves(200, 100))
    records = [_record("a.jpg", 1, [0, 0, 200, 100]), _record("a.jpg", 2, [0, 0, 20, 10]), _record("a.jpg", 3)]
    _cut(records, tmp_path, tmp_path / "out", max_side=50)
    assert [Image.open(tmp_path / "out" / r.image_path).size for r in records] == [(50, 25), (20, 10), (50, 25)]


def test_a_whole_jpeg_is_kept_byte_for_byte(tmp_path: Path) -> None:
    source = _save(tmp_path / "a.jpg", _halves(), quality=40)
    records = [_record("a.jpg"), _record("b.png")]
    _save(tmp_path / "b.png", _halves())
    _cut(records, tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / records[0].image_path).read_bytes() == source.read_bytes()
    assert Image.open(tmp_path / "out" / records[1].image_path).format == "JPEG"


def test_faults_are_named_and_the_rest_is_cut(tmp_path: Path) -> None:
    _save(tmp_path / "good.jpg", _halves())
    for name, (content, _) in FAULTS.items():
        (tmp_path / name).write_bytes(content)
    records = [_record("good.jpg", 1, [0, 0, 9, 9]), _record("good.jpg", 2, [60, 0, 90, 9]), _record("gone.jpg")]
    records += [_record(name, 3) for name in FAULTS]
    failed = {(s.split, s.file, s.item): s.reason for s in _cut(records, tmp_path, tmp_path / "out")}
    assert failed == {
        ("train", "good.jpg", 2): "box outside the image", ("train", "gone.jpg", 1): "image file is missing",
        **{("train", name, 3): reason for name, (_, reason) in FAULTS.items()},
    }  # fmt: skip
    assert [(tmp_path / "out" / r.image_path).exists() for r in records] == [True] + [False] * 5


def test_a_second_call_does_only_what_is_left(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for i in range(4):
        _save(tmp_path / f"{i}.jpg", _halves())
    (tmp_path / "zero.jpg").touch()
    records = [_record(f"{i}.jpg", 1, [0, 0, 9, 9]) for i in range(4)] + [_record("zero.jpg")]
    first = _cut(records, tmp_path, out)
    journal = out / "crops.journal.jsonl"
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:9])  # killed while writing the last line
    for r in records[:4]:
        (out / r.image_path).unlink()
    advanced: list[int] = []
    again = cut_all(plan_crops(records, tmp_path), out, 0.0, 640, 1, advanced.append)
    assert not any((out / r.image_path).exists() for r in records[:4])
    assert again == first
    assert advanced == [4, 1]
    assert journal.read_bytes() == whole


def test_processes_do_not_change_the_result(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(5):
        _save(tmp_path / f"{i}.png", Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)))
    (tmp_path / "2.png").write_bytes(b"")
    records = [_record(f"{i}.png", item, [item, i, 30 + item, 35]) for i in range(5) for item in (1, 2)]
    results = []
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        failed = _cut(records, tmp_path, out, workers=workers, margin=0.1)
        files = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        results.append((failed, files, Journal(out / "crops.journal.jsonl").rows))
    assert results[0] == results[1]
    assert len(results[0][0]) == 2


def test_more_images_than_one_batch(tmp_path: Path) -> None:
    _save(tmp_path / "a.jpg", _halves())
    records = [_record(f"{i}.jpg", 1, [0, 0, 9, 9]) for i in range(BATCH + 3)]
    for r in records:
        (tmp_path / r.orig_image_path).hardlink_to(tmp_path / "a.jpg")
    assert _cut(records, tmp_path, tmp_path / "out") == []
    assert all((tmp_path / "out" / r.image_path).exists() for r in records)
