"""Full passes over image shards: every sample exactly once, in batches."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import webdataset as wds
from torch.utils.data import DataLoader

from skufp.data.shards import DecodedPhoto, Decoder, RawSample, raw_samples, shard_files
from skufp.models.batches import PhotoBatch
from skufp.models.preprocessing import Preprocessing


def full_pass(
    folder: Path,
    names: list[str],
    preprocessing: Preprocessing,
    batch_size: int,
    workers: int,
    rank: int = 0,
    world: int = 1,
) -> DataLoader[PhotoBatch]:
    """Return a loader that yields every sample of ``names`` (e.g. dev-query) exactly once, over all processes together.

    Process ``rank`` of ``world`` decodes every ``world``-th sample, whatever the number and size of shards.
    """
    files = [file for name in names for file in shard_files(folder, name)]
    pipeline = wds.DataPipeline(
        raw_samples(files, splitters=True),
        EveryNth(rank, world),
        wds.map(Decoder(preprocessing)),
        wds.batched(batch_size, collation_fn=collate),
    )
    return DataLoader(pipeline, batch_size=None, num_workers=min(workers, len(files)))


@dataclass(frozen=True)
class EveryNth:
    """Selects the undecoded samples of process ``rank`` of ``world``."""

    rank: int
    world: int

    def __call__(self, samples: Iterator[RawSample]) -> Iterator[RawSample]:
        """Return every ``world``-th of ``samples``."""
        return itertools.islice(samples, self.rank, None, self.world)


def collate(samples: list[DecodedPhoto]) -> PhotoBatch:
    """Stack decoded samples."""
    return {
        "pixels": torch.stack([torch.from_numpy(s["pixels"]) for s in samples]),
        "row": torch.tensor([s["meta"]["row"] for s in samples]),
        "meta": [s["meta"] for s in samples],
    }
