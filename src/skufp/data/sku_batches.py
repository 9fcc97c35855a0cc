"""Training batches of P SKUs x K images, streamed from image shards, with siblings side by side."""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import IterableDataset, get_worker_info

from skufp.artifacts.records import CATALOG, QUERY
from skufp.data.augment import PhonePhoto
from skufp.data.captions import TEMPLATE, training_text
from skufp.data.counterfactuals import decode_png
from skufp.data.shards import decode_sample, raw_samples
from skufp.data.splits import HELD_OUT
from skufp.models.preprocessing import Preprocessing

BUFFER_SKUS = 512
OTHERS = 8


@dataclass(eq=False)
class SkuGroup:
    """One SKU's raw samples."""

    split: str
    sku_id: str
    pair_id: int
    catalog: list[dict[str, Any]] = field(default_factory=list)
    query: list[dict[str, Any]] = field(default_factory=list)

    @property
    def label(self) -> int:
        """A number for the SKU, the same in every process."""
        return zlib.crc32(f"{self.split}/{self.sku_id}".encode())


class SkuBatches(IterableDataset):
    """An endless, seeded stream of ``steps`` batches per epoch.

    ``shards`` lists for every shard number its catalogue and query files (same SKUs). Every batch holds
    ``skus_per_batch`` SKUs, up to ``siblings`` of one pair together, with ``images_per_sku`` images each: the
    first half as queries (real ones that the retriever may learn from, or catalogue photos put on a phone), the
    rest catalogue photos. Held-out queries are never used. Every rank yields the same number of batches.

    With ``counterfactuals``, PNG files by SKU id, a batch also holds one of every SKU that has any, ``negative_pixels``
    [N, 3, H, W], and the SKU that each was drawn from, ``negative_sku`` [N]; the rest of the batch is as without them.

    ``text`` is the kind of text (data.text) that photos come with. ``buffer_skus`` is how many SKUs are shuffled
    together, at most the number there are.

    Its state is (epoch, batches done): a resumed stream skips what was used without decoding it.
    """

    def __init__(
        self, shards: list[list[Path]], transform: Preprocessing, augment: PhonePhoto | None,
        skus_per_batch: int, images_per_sku: int, siblings: int, steps: int, seed: int, buffer_skus: int = BUFFER_SKUS,
        rank: int = 0, world: int = 1, counterfactuals: Mapping[str, list[bytes]] | None = None,
        text: str = TEMPLATE,
    ) -> None:  # fmt: skip
        self.shards, self.transform, self.augment = shards, transform, augment
        self.skus_per_batch, self.images_per_sku, self.siblings = skus_per_batch, images_per_sku, siblings
        self.buffer_skus = max(skus_per_batch, min(buffer_skus, BUFFER_SKUS))
        self.steps, self.seed, self.rank, self.world = steps, seed, rank, world
        self.counterfactuals, self.text = counterfactuals, text
        self.epoch = self.batches_done = 0

    def __len__(self) -> int:
        return self.steps

    def state_dict(self) -> dict[str, int]:
        """Return where the stream is."""
        return {"epoch": self.epoch, "batches_done": self.batches_done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a state."""
        self.epoch, self.batches_done = state["epoch"], state["batches_done"]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker, workers = (info.id, info.num_workers) if (info := get_worker_info()) else (0, 1)
        share = len(range(worker, self.steps, workers))
        stream = self._batches(self.rank * workers + worker, self.world * workers)
        for number, (groups, seed) in enumerate(stream):
            if number >= share:
                break
            if number >= self.batches_done:
                self.batches_done = number + 1
                yield self._collate(groups, np.random.default_rng(seed))
        self.epoch, self.batches_done = self.epoch + 1, 0

    def _batches(self, reader: int, readers: int) -> Iterator[tuple[list[SkuGroup], list[int]]]:
        """Yield groups for a batch and the seed of its augmentation."""
        rng = np.random.default_rng([self.seed, self.epoch, reader])
        buffer: dict[int, list[SkuGroup]] = {}
        held, number = 0, 0
        for group in self._groups(rng, reader, readers):
            buffer.setdefault(group.pair_id, []).append(group)
            held += 1
            if held >= self.buffer_skus:
                batch = self._draw(buffer, rng)
                held -= len(batch)
                yield batch, [self.seed, self.epoch, reader, number]
                number += 1

    def _groups(self, rng: np.random.Generator, reader: int, readers: int) -> Iterator[SkuGroup]:
        """Yield SKUs for ever; shards are dealt to readers, or shared when there are too few."""
        own = self.shards[reader::readers] if len(self.shards) >= readers else self.shards
        while True:
            for number in rng.permutation(len(own)):
                yield from read_skus(own[number])

    def _draw(self, buffer: dict[int, list[SkuGroup]], rng: np.random.Generator) -> list[SkuGroup]:
        """Take a batch out of the buffer: siblings first, then any other SKU; one comes twice only if none is left."""
        size = self.skus_per_batch
        batch: list[SkuGroup] = []
        used: set[str] = set()
        for per_pair, repeats in ((self.siblings, False), (size, False), (size, True)):
            for pair in rng.permutation(list(buffer)).tolist():
                taken = 0
                for i in rng.permutation(len(buffer[pair])):
                    group = buffer[pair][i]
                    if len(batch) < size and taken < per_pair and (repeats or group.sku_id not in used):
                        batch.append(group)
                        used.add(group.sku_id)
                        taken += 1
                buffer[pair] = [group for group in buffer[pair] if group not in batch]
                if not buffer[pair]:
                    del buffer[pair]
        return batch

    def _collate(self, groups: list[SkuGroup], rng: np.random.Generator) -> dict[str, Any]:
        pixels, labels, is_query, texts, pairs = [], [], [], [], []
        others = self._other_photos(groups, rng)
        for group in groups:
            for sample, as_query in self._choose(group, rng):
                picture, meta = decode_sample(sample)
                picture = self._augmented(picture, meta["domain"], as_query, others, rng)
                pixels.append(self.transform(picture))
                labels.append(group.label)
                pairs.append(group.pair_id)
                is_query.append(as_query)
                texts.append(training_text(meta, self.text))
        batch = {
            "pixels": torch.from_numpy(np.stack(pixels)), "sku": torch.tensor(labels), "pair": torch.tensor(pairs),
            "is_query": torch.tensor(is_query), "text": texts,
        }  # fmt: skip
        return batch if self.counterfactuals is None else batch | self._negatives(self.counterfactuals, groups, rng)

    def _negatives(
        self, counterfactuals: Mapping[str, list[bytes]], groups: list[SkuGroup], rng: np.random.Generator
    ) -> dict[str, Any]:
        """Draw a counterfactual of every SKU that has any; it is varied as a catalogue photo is."""
        labels = {g.sku_id: g.label for g in groups if g.sku_id in counterfactuals}
        pixels = [torch.zeros(0, 3, self.transform.size, self.transform.size)]
        for sku in labels:
            picture = decode_png(counterfactuals[sku][rng.integers(len(counterfactuals[sku]))])
            picture = self._augmented(picture, CATALOG, False, [], rng)
            pixels.append(torch.from_numpy(self.transform(picture))[None])
        return {
            "negative_pixels": torch.cat(pixels),
            "negative_sku": torch.tensor([*labels.values()], dtype=torch.long),
        }

    def _choose(self, group: SkuGroup, rng: np.random.Generator) -> list[tuple[dict[str, Any], bool]]:
        """Draw a SKU's samples: the first half to serve as queries, the rest as catalogue photos."""
        as_query = self.images_per_sku // 2
        share = self.augment.real_query_share if self.augment else 1.0
        real = int(rng.binomial(as_query, share)) if group.query else 0
        queries = _sample(group.query, real, rng) + _sample(group.catalog, as_query - real, rng)
        return [(s, True) for s in queries] + [
            (s, False) for s in _sample(group.catalog, self.images_per_sku - as_query, rng)
        ]

    def _other_photos(self, groups: list[SkuGroup], rng: np.random.Generator) -> list[np.ndarray]:
        """Decode some of the batch's photos to serve as backgrounds and occluders."""
        if self.augment is None:
            return []
        chosen = rng.choice(len(groups), min(OTHERS, len(groups)), replace=False)
        samples = [_sample(groups[i].query or groups[i].catalog, 1, rng)[0] for i in chosen]
        return [np.asarray(decode_sample(sample)[0]) for sample in samples]

    def _augmented(
        self, picture: Image.Image, domain: str, as_query: bool, others: list[np.ndarray], rng: np.random.Generator
    ) -> Image.Image:
        if self.augment is None:
            return picture
        image, size = np.asarray(picture), self.transform.size
        if not as_query:
            image = self.augment.catalogue(image, size, rng)
        elif domain == QUERY:
            image = self.augment.query(image, size, rng)
        else:
            image = self.augment.simulate(image, others, size, rng)
        return Image.fromarray(image)


def _sample(items: list[dict[str, Any]], count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Draw ``count`` items, without repeats where there are enough."""
    return [items[i] for i in rng.choice(len(items), count, replace=len(items) < count)]


def read_skus(files: list[Path]) -> Iterator[SkuGroup]:
    """Yield the SKUs of one shard number: its catalogue and query shards hold the same ones."""
    groups: dict[str, SkuGroup] = {}
    for sample in raw_samples(files):
        meta = json.loads(sample["json"])
        group = groups.setdefault(meta["sku_id"], SkuGroup(meta["split"], meta["sku_id"], meta["pair_id"]))
        if meta["domain"] == CATALOG:
            group.catalog.append(sample)
        elif meta["domain"] == QUERY and meta["pool"] != HELD_OUT:
            group.query.append(sample)
    yield from (group for group in groups.values() if group.catalog)
