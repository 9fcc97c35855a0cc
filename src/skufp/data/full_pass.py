"""Full passes over image shards: every sample exactly once, in batches."""

from pathlib import Path
from typing import Any

import torch
import webdataset as wds
from torch.utils.data import DataLoader

from skufp.data.shards import Decoder, raw_samples, shard_files
from skufp.errors import UserError
from skufp.models.preprocessing import Preprocessing


def full_pass(
    folder: Path,
    names: list[str],
    preprocessing: Preprocessing,
    batch_size: int,
    workers: int,
    world: int = 1,
) -> DataLoader:
    """Return a loader that sees every sample of ``names`` (e.g. dev-query) exactly once, over all ranks.

    Batches: {pixels [B, 3, H, W], row [B], meta: list of B dicts}.
    """
    files = [file for name in names for file in shard_files(folder, name)]
    workers = min(workers, max(0, len(files) // world))
    if len(files) < world:
        raise UserError(f"{len(files)} shards cannot feed {world} devices: prepare with a smaller data.shard_size")
    pipeline = wds.DataPipeline(
        raw_samples(files, splitters=True),
        wds.map(Decoder(preprocessing)),
        wds.batched(batch_size, collation_fn=collate),
    )
    return DataLoader(pipeline, batch_size=None, num_workers=workers)


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack decoded samples."""
    return {
        "pixels": torch.stack([torch.from_numpy(s["pixels"]) for s in samples]),
        "row": torch.tensor([s["meta"]["row"] for s in samples]),
        "meta": [s["meta"] for s in samples],
    }
