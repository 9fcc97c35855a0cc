"""Shards of generated views: a PNG and its row of the views table per sample.

`<split>-generated-*` holds the views that are kept, `-control-` their classic counterparts, `-counterfactual-` the hard
negatives that are kept, `-rejected-` the rest. A part is written atomically, so a killed run resumes after its finished
parts.
"""

import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import webdataset as wds
from PIL import Image

from skufp.artifacts.folder import write_json
from skufp.artifacts.records import safe_name
from skufp.artifacts.views import CONTROL, COUNTERFACTUAL, VIEW, ViewRow
from skufp.data.shards import INDEX, Shards, decode_picture, raw_samples

GENERATED, REJECTED = "generated", "rejected"
KEPT_IN = {VIEW: GENERATED, CONTROL: CONTROL, COUNTERFACTUAL: COUNTERFACTUAL}
SHARD = re.compile(r"(?P<name>.+)-(?P<number>\d{6,})\.tar")


def shard_name(row: ViewRow) -> str:
    """Return the shards that a row's picture belongs in, e.g. ``train-generated``."""
    return f"{row.split}-{KEPT_IN[row.kind] if row.kept else REJECTED}"


def write_view_shard(folder: Path, name: str, part: int, items: Iterable[tuple[ViewRow, np.ndarray]]) -> None:
    """Write `<name>-<part>.tar` from rows with their pictures, RGB [H, W, 3] uint8; no tar where there is no item.

    Samples are in the order of pair, SKU and view id, and equal items give equal bytes. Files of an earlier attempt at
    the same part are replaced. Raises ValueError for a row of another part, and for two rows of one SKU and view id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{name}-{part:06d}.tar"
    ordered = sorted(items, key=lambda item: (item[0].pair_id, item[0].sku_id, item[0].view_id))
    _check(ordered, part)
    if not ordered:
        final.unlink(missing_ok=True)
        return
    temporary = _unfinished(final)
    with temporary.open("wb") as file, wds.TarWriter(file, mtime=0) as tar:
        for row, picture in ordered:
            tar.write({"__key__": _key(row), "png": _png(picture), "json": row.to_dict()})
    os.replace(temporary, final)


def _check(items: list[tuple[ViewRow, np.ndarray]], part: int) -> None:
    seen: set[str] = set()
    for row, _ in items:
        if row.part != part:
            raise ValueError(f"view {row.view_id} says part {row.part}, but is written to part {part}")
        if _key(row) in seen:
            raise ValueError(f"two pictures of SKU {row.sku_id} have the view id {row.view_id}")
        seen.add(_key(row))


def _key(row: ViewRow) -> str:
    return f"{safe_name(row.sku_id)}__{safe_name(row.view_id)}"


def _unfinished(final: Path) -> Path:
    return final.with_name(final.name + ".part")


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def write_view_index(folder: Path) -> dict[str, Shards]:
    """Write and return index.json of the tars in ``folder``, in the form that data.shards reads.

    Call it after every part is written: half-written files of a killed run are deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.tar.part"):
        left.unlink()
    index: dict[str, Shards] = {}
    found = [(match, path) for path in folder.iterdir() if (match := SHARD.fullmatch(path.name))]
    for match, path in sorted(found, key=lambda item: (item[0]["name"], int(item[0]["number"]))):
        samples = _sample_count(path)
        entry = index.setdefault(match["name"], {"samples": 0, "shards": []})
        entry["shards"].append({"file": path.name, "number": int(match["number"]), "samples": samples})
        entry["samples"] += samples
    write_json(folder / INDEX, index)
    return index


def _sample_count(path: Path) -> int:
    with tarfile.open(path) as tar:
        return sum(member.name.endswith(".json") for member in tar)


def read_view_shards(files: Iterable[Path]) -> Iterator[tuple[ViewRow, np.ndarray]]:
    """Yield every row with its picture, RGB [H, W, 3] uint8, in the order of ``files`` and of their samples."""
    for sample in raw_samples(files):
        yield ViewRow.from_dict(json.loads(sample["json"])), np.asarray(decode_picture(sample, "png"))
