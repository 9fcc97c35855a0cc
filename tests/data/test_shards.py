"""Image and SKU shards: round trips, pairing, whole SKUs, row numbers."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skufp.artifacts.folder import write_json
from skufp.artifacts.records import CropRecord
from skufp.data.shards import (
    INDEX,
    Decoder,
    decode_mask,
    decode_sample,
    decode_sku_sample,
    raw_samples,
    sample_count,
    shard_files,
    write_image_shards,
    write_sku_shards,
)

NAMES = ("train-catalog", "train-query", "dev-catalog", "dev-query")


def _metas(files: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(sample["json"]) for sample in raw_samples(files)]


def test_every_record_comes_back_with_its_picture_and_row(prepared: Any) -> None:
    seen = []
    for name in NAMES:
        split, domain = name.split("-")
        for sample in raw_samples(shard_files(prepared.shards, name)):
            picture, meta = decode_sample(sample)
            row = meta.pop("row")
            record = CropRecord.from_dict(meta)
            assert record == prepared.of(split)[row]
            assert record.domain == domain
            assert sample["jpg"] == (prepared.root / record.image_path).read_bytes()
            assert np.abs(np.asarray(picture).astype(int) - 3 * int(record.image_id)).max() <= 2
            seen.append((split, row))
    assert sorted(seen) == sorted((s, i) for s in ("train", "dev") for i in range(len(prepared.of(s))))


def test_index_counts_are_true(prepared: Any) -> None:
    index = json.loads((prepared.shards / INDEX).read_text())
    assert set(index) == set(NAMES)
    for name, entry in index.items():
        split, domain = name.split("-")
        assert entry["samples"] == sample_count(prepared.shards, name)
        assert entry["samples"] == sum(r.domain == domain for r in prepared.of(split))
        for shard in entry["shards"]:
            assert len(_metas([prepared.shards / shard["file"]])) == shard["samples"]
    assert sample_count(prepared.shards, "validation-query") == 0
    assert shard_files(prepared.shards, "validation-query") == []


def test_shards_of_one_number_hold_the_same_skus_and_no_sku_is_split(prepared: Any) -> None:
    index = json.loads((prepared.shards / INDEX).read_text())
    skus: dict[str, dict[int, set[str]]] = {}
    for domain in ("catalog", "query"):
        for shard in index[f"train-{domain}"]["shards"]:
            metas = _metas([prepared.shards / shard["file"]])
            skus.setdefault(domain, {})[shard["number"]] = {m["sku_id"] for m in metas}
    assert len(skus["catalog"]) >= 3
    queried = {r.sku_id for r in prepared.of("train") if r.domain == "query"}
    for number, own in skus["catalog"].items():
        assert skus["query"].get(number, set()) == own & queried
    for parts in skus.values():
        everything = [sku for part in parts.values() for sku in part]
        assert len(everything) == len(set(everything))


def test_siblings_lie_side_by_side(prepared: Any) -> None:
    pairs = [m["pair_id"] for m in _metas(shard_files(prepared.shards, "train-catalog"))]
    assert pairs == sorted(pairs)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_any_shard_size_holds_everything_once(prepared: Any, tmp_path: Path, size: int) -> None:
    for record in prepared.records:
        target = tmp_path / record.image_path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(prepared.root / record.image_path)
    index = write_image_shards(tmp_path, prepared.records, size)
    rows = [m["row"] for n in ("train-catalog", "train-query") for m in _metas(shard_files(tmp_path / "shards", n))]
    assert sorted(rows) == list(range(len(prepared.of("train"))))
    skus = {r.sku_id for r in prepared.of("train")}
    shards = len(index["train-catalog"]["shards"])
    assert shards == {1: len(skus), 1000: 1}.get(size, shards)


def test_names_with_dots_and_spaces_are_safe_and_kept_in_the_json(tmp_path: Path, record: Any) -> None:
    records = []
    for number, sku in enumerate(["my sku.v2", "my sku v2", "naïve/ü.jpg"]):
        row = record("train", number, 1, "catalog", number)
        row.sku_id, row.image_id, row.image_path = sku, "photo 1.final", f"{number}.jpg"
        Image.new("RGB", (8, 8)).save(tmp_path / row.image_path)
        records.append(row)
    write_image_shards(tmp_path, records, 100)
    samples = list(raw_samples(shard_files(tmp_path / "shards", "train-catalog")))
    assert [json.loads(s["json"])["sku_id"] for s in samples] == [r.sku_id for r in records]
    assert all("jpg" in s for s in samples)
    assert len({s["__key__"] for s in samples}) == 3


def test_a_mask_travels_with_its_picture_even_under_a_very_long_name(tmp_path: Path, record: Any) -> None:
    records = [record("train", 1, 1, "catalog", number) for number in (1, 2)]
    wanted = np.zeros((6, 8), bool)
    wanted[1:3, 2:7] = True
    for r in records:
        r.sku_id, r.image_path = "x" * 90, f"{r.image_id}.jpg"
        Image.new("RGB", (8, 6)).save(tmp_path / r.image_path)
    records[0].mask_path = "1.mask.png"
    Image.fromarray(wanted).save(tmp_path / "1.mask.png")
    write_image_shards(tmp_path, records, 100)
    masked, bare = raw_samples(shard_files(tmp_path / "shards", "train-catalog"))
    mask = decode_mask(masked)
    assert mask is not None
    assert (mask.dtype, mask.tolist()) == (np.float32, wanted.astype(float).tolist())
    assert decode_sample(masked)[0].size == (8, 6)
    assert CropRecord.from_dict(json.loads(masked["json"])) == records[0]
    assert set(bare) == set(masked) - {"mask.png"}
    assert decode_mask(bare) is None


def test_decoding_turns_upright_and_puts_transparency_on_white() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, clear = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (20, 10)).save(turned, "JPEG", exif=exif)
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(clear, "PNG")
    assert decode_sample({"jpg": turned.getvalue(), "json": b"{}"})[0].size == (10, 20)
    assert decode_sample({"jpg": clear.getvalue(), "json": b"{}"})[0].getpixel((0, 0)) == (255, 255, 255)


def test_decoder_hands_the_picture_to_the_transform() -> None:
    data = io.BytesIO()
    Image.new("RGB", (6, 4)).save(data, "JPEG")
    decoded = Decoder(lambda picture: np.array(picture.size))({"jpg": data.getvalue(), "json": b'{"row": 3}'})
    assert decoded["pixels"].tolist() == [6, 4]
    assert decoded["meta"] == {"row": 3}


def test_sku_shards_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = [
        {"views": rng.normal(size=(1 + i % 3, 4)).astype(np.float32),
         "queries": rng.normal(size=(i % 2, 4)).astype(np.float32),
         "meta": {"sku_id": f"sku.{i} ü", "pools": ["a"] * i}}
        for i in range(5)
    ]  # fmt: skip
    entry = write_sku_shards(tmp_path, "train", samples, 2)
    assert [s["samples"] for s in entry["shards"]] == [2, 2, 1]
    write_json(tmp_path / INDEX, {"train-sku": entry})
    files = shard_files(tmp_path, "train-sku")
    assert sample_count(tmp_path, "train-sku") == 5
    for got, put in zip((decode_sku_sample(s) for s in raw_samples(files)), samples, strict=True):
        assert np.array_equal(got["views"], put["views"])
        assert np.array_equal(got["queries"], put["queries"])
        assert got["queries"].shape == put["queries"].shape
        assert got["meta"] == put["meta"]


def test_negatives_are_written_where_there_are_any(tmp_path: Path) -> None:
    views, drawn = np.ones((2, 4), np.float32), np.full((3, 4), 2, np.float32)
    samples = [{"views": views, "queries": views[:0], "meta": {"sku_id": str(i)}} for i in range(2)]
    entry = write_sku_shards(tmp_path, "train", [samples[0], samples[1] | {"negatives": drawn}], 2)
    raw = list(raw_samples([tmp_path / entry["shards"][0]["file"]]))
    assert ["negatives.npy" in s for s in raw] == [False, True]
    first, second = map(decode_sku_sample, raw)
    assert first["negatives"].shape == (0, 4)
    assert np.array_equal(second["negatives"], drawn)
