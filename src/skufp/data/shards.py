"""WebDataset shards: writing them, and reading every row exactly once.

The n-th catalogue shard and the n-th query shard of a split hold the same SKUs, so a reader that opens the two
together gets whole SKUs; siblings (same pair) are adjacent.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import webdataset as wds
from PIL import Image

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import CATALOG, QUERY, CropRecord, safe_name
from skufp.data.decode import decode_image
from skufp.models.batches import SkuMeta

INDEX = "index.json"
RawSample = dict[str, Any]  # a file's bytes by its extension, and webdataset's own __key__ and __url__


class ShardFile(TypedDict):
    """A tar of a shard index."""

    file: str
    number: int
    samples: int


class Shards(TypedDict):
    """The entry of one kind of samples in index.json, e.g. validation-query."""

    samples: int  # in all its tars
    shards: list[ShardFile]


class DecodedPhoto(TypedDict):
    """A decoded sample of an image shard."""

    pixels: np.ndarray  # [3, H, W] float32
    meta: dict[str, Any]  # a crop record and its ``row``


class SkuSample(TypedDict):
    """A decoded sample of a SKU shard, vectors of D dimensions."""

    views: np.ndarray  # [V, D]
    queries: np.ndarray  # [Q, D]
    negatives: NotRequired[np.ndarray]  # [N, D], distractors, which show no SKU
    meta: SkuMeta


def write_image_shards(root: Path, records: list[CropRecord], shard_size: int) -> dict[str, Shards]:
    """Write `shards/<split>-{catalog,query}-%06d.tar` from the crops under ``root``; return the index.

    ``records`` are in the order of `<split>_image_text.jsonl`; a sample's ``row`` is its position in that order.
    """
    folder = root / "shards"
    folder.mkdir(exist_ok=True)
    index: dict[str, Shards] = {}
    for split in sorted({r.split for r in records}):
        rows = list(enumerate(r for r in records if r.split == split))
        for number, group in enumerate(_sku_ranges(rows, shard_size)):
            for domain in (CATALOG, QUERY):
                members = [(row, r) for row, r in group if r.domain == domain]
                if members:
                    name = f"{split}-{domain}-{number:06d}.tar"
                    _write_shard(folder / name, root, members)
                    entry = index.setdefault(f"{split}-{domain}", {"samples": 0, "shards": []})
                    entry["shards"].append({"file": name, "number": number, "samples": len(members)})
                    entry["samples"] += len(members)
    write_json(folder / INDEX, index)
    return index


def _sku_ranges(rows: list[tuple[int, CropRecord]], size: int) -> Iterator[list[tuple[int, CropRecord]]]:
    """Split rows, ordered by pair and SKU, into ranges of about ``size`` rows that keep SKUs whole."""
    rows = sorted(rows, key=lambda row: (row[1].pair_id, row[1].sku_id))
    part: list[tuple[int, CropRecord]] = []
    for row in rows:
        if len(part) >= size and row[1].sku_id != part[-1][1].sku_id:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def _write_shard(path: Path, root: Path, members: list[tuple[int, CropRecord]]) -> None:
    with wds.TarWriter(str(path)) as tar:
        for row, record in members:
            key = f"{safe_name(record.sku_id)}__{safe_name(record.view_id)}"
            meta = record.to_dict() | {"row": row}
            mask = {"mask.png": (root / record.mask_path).read_bytes()} if record.mask_path else {}
            tar.write({"__key__": key, "jpg": (root / record.image_path).read_bytes(), "json": meta} | mask)


def read_index(folder: Path) -> dict[str, Shards]:
    """Read the index of a folder of shards."""
    index: dict[str, Shards] = read_json(folder / INDEX)
    return index


def shard_files(folder: Path, name: str) -> list[Path]:
    """Return the shards of e.g. ``validation-query``; empty where there are none."""
    entry = read_index(folder).get(name)
    return [folder / shard["file"] for shard in entry["shards"]] if entry else []


def sample_count(folder: Path, name: str) -> int:
    """Return the number of samples of ``name`` in the index."""
    entry = read_index(folder).get(name)
    return entry["samples"] if entry else 0


def raw_samples(files: Iterable[Path], splitters: bool = False) -> wds.DataPipeline:
    """Stream raw samples of ``files`` in order; ``splitters`` distributes shards over the loader's workers."""
    urls = [str(file) for file in files]
    if not urls:
        return wds.DataPipeline(_nothing)
    deal = [wds.split_by_worker] if splitters else []
    return wds.DataPipeline(wds.SimpleShardList(urls), *deal, wds.tarfile_to_samples())


def _nothing() -> Iterator[RawSample]:
    return iter(())


def decode_sample(sample: RawSample) -> tuple[Image.Image, dict[str, Any]]:
    """Return a raw sample's picture (upright, RGB) and metadata."""
    return decode_picture(sample, "jpg"), json.loads(sample["json"])


def decode_picture(sample: RawSample, member: str) -> Image.Image:
    """Return a raw sample's picture ``member``, upright and RGB; UnreadableImageError names the shard."""
    return decode_image(sample[member], f"{sample.get('__url__', 'shard')}, {sample.get('__key__', '')}.{member}")


def decode_mask(sample: RawSample) -> np.ndarray | None:
    """Return a raw sample's garment mask [H, W] float32 as large as its picture, 1 on the garment; None without one."""
    if "mask.png" not in sample:
        return None
    return np.asarray(decode_picture(sample, "mask.png").convert("L"), np.float32) / 255


@dataclass(frozen=True)
class Decoder:
    """Decodes raw samples of image shards."""

    transform: Callable[[Image.Image], np.ndarray]

    def __call__(self, sample: RawSample) -> DecodedPhoto:
        """Decode one raw sample."""
        picture, meta = decode_sample(sample)
        return {"pixels": self.transform(picture), "meta": meta}


def write_sku_shards(folder: Path, split: str, samples: list[SkuSample], shard_size: int) -> Shards:
    """Write `<split>-sku-%06d.tar`: one sample per SKU with views.npy [V, D], queries.npy [Q, D], meta.json.

    A sample that has ``negatives`` [N, D], distractors that show no SKU, gets negatives.npy too.
    """
    entry: Shards = {"samples": len(samples), "shards": []}
    for number, start in enumerate(range(0, len(samples), shard_size)):
        name = f"{split}-sku-{number:06d}.tar"
        part = samples[start : start + shard_size]
        with wds.TarWriter(str(folder / name)) as tar:
            for sample in part:
                extra = {"negatives.npy": sample["negatives"]} if "negatives" in sample else {}
                tar.write({"__key__": safe_name(sample["meta"]["sku_id"]), "views.npy": sample["views"],
                           "queries.npy": sample["queries"], "meta.json": sample["meta"], **extra})  # fmt: skip
        entry["shards"].append({"file": name, "number": number, "samples": len(part)})
    return entry


def decode_sku_sample(sample: RawSample) -> SkuSample:
    """Decode a raw SKU sample; the result always has ``negatives``, possibly of length 0."""
    views, queries = (np.load(io.BytesIO(sample[f"{name}.npy"]), allow_pickle=False) for name in ("views", "queries"))
    negatives = views[:0]
    if "negatives.npy" in sample:
        negatives = np.load(io.BytesIO(sample["negatives.npy"]), allow_pickle=False)
    return {"views": views, "queries": queries, "negatives": negatives, "meta": json.loads(sample["meta.json"])}
