"""Training batches of P SKUs x K images, streamed from image shards, with siblings side by side."""

import copy
import functools
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from skufp.artifacts.records import CATALOG, QUERY
from skufp.data.augment import PhonePhoto
from skufp.data.captions import TEMPLATE, training_text
from skufp.data.counterfactuals import decode_png
from skufp.data.shards import RawSample, decode_sample, raw_samples
from skufp.data.splits import HELD_OUT
from skufp.data.step_batches import StepBatches, refuse_small_batches
from skufp.models.batches import NegativePhotos, SkuPhotoBatch
from skufp.models.preprocessing import Preprocessing

BUFFER_SKUS = 512
OTHERS = 8


@dataclass(eq=False)
class SkuGroup:
    """One SKU's raw samples."""

    split: str
    sku_id: str
    pair_id: int
    catalog: list[RawSample] = field(default_factory=list)
    query: list[RawSample] = field(default_factory=list)

    @property
    def label(self) -> int:
        """A number of the SKU, the same in every process."""
        return zlib.crc32(f"{self.split}/{self.sku_id}".encode())


class SkuBatches(StepBatches[list[SkuGroup], SkuPhotoBatch]):
    """Batches of ``skus_per_batch`` SKUs, up to ``siblings`` of one pair together, with ``images_per_sku`` images each.

    ``shards`` lists for every shard number its catalogue and query files (same SKUs). The first half of a SKU's images
    are queries (real queries of the training pool, or simulated phone photos), the rest catalogue photos. Held-out
    queries are never used. ``text`` is the kind of text (data.text). ``skus`` is the number of SKUs: up to BUFFER_SKUS
    are shuffled together, and if all fit the buffer, they are read only once.

    A process gets the photos of its SKUs and its share of the whole batch's distinct texts. ``counterfactuals``, PNG
    files by SKU id, add one counterfactual for every own SKU that has any, and change nothing else.

    Raises UserError where a batch has fewer SKUs than there are processes.
    """

    def __init__(
        self, shards: list[list[Path]], transform: Preprocessing, augment: PhonePhoto | None,
        skus_per_batch: int, images_per_sku: int, siblings: int, steps: int, seed: int, skus: int = BUFFER_SKUS,
        rank: int = 0, world: int = 1, counterfactuals: Mapping[str, list[bytes]] | None = None,
        text: str = TEMPLATE, start: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(steps, seed, rank, world, start)
        refuse_small_batches("model.training.skus_per_batch", skus_per_batch, world)
        self.shards, self.transform, self.augment = shards, transform, augment
        self.skus_per_batch, self.images_per_sku, self.siblings = skus_per_batch, images_per_sku, siblings
        self.buffer_skus = max(skus_per_batch, min(skus, BUFFER_SKUS))
        self.all_fit = skus <= BUFFER_SKUS
        self.counterfactuals, self.text = counterfactuals, text

    def draws(self) -> Iterator[list[SkuGroup]]:
        """Yield the SKUs of each batch."""
        rng = np.random.default_rng(self.seed)
        buffer: dict[int, list[SkuGroup]] = {}
        held = 0
        for group in self._groups(rng):
            buffer.setdefault(group.pair_id, []).append(group)
            held += 1
            if held >= self.buffer_skus:
                batch = self._draw(buffer, rng)
                held -= len(batch)
                yield batch

    def _groups(self, rng: np.random.Generator) -> Iterator[SkuGroup]:
        """Yield SKUs endlessly, shard by shard; a repeated SKU is a new object, so that a batch may hold it twice."""
        read = functools.cache(self._read) if self.all_fit else self._read
        while True:
            for number in rng.permutation(len(self.shards)).tolist():
                yield from map(copy.copy, read(number))

    def _read(self, number: int) -> list[SkuGroup]:
        return list(read_skus(self.shards[number]))

    def _draw(self, buffer: dict[int, list[SkuGroup]], rng: np.random.Generator) -> list[SkuGroup]:
        """Take a batch out of the buffer: siblings first, then other SKUs; a SKU repeats only if none is left."""
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

    def collate(self, items: list[SkuGroup], number: int) -> SkuPhotoBatch:
        """Decode this process's SKUs, and take its share of the whole batch's texts."""
        rngs = [self.rng(number, place) for place in range(len(items))]
        chosen = [self._choose(group, rng) for group, rng in zip(items, rngs, strict=True)]
        texts = [[training_text(json.loads(sample["json"]), self.text) for sample, _ in own] for own in chosen]
        distinct = {text: i for i, text in enumerate(sorted({text for own in texts for text in own if text}))}
        others = self._other_photos(items, self.rng(number, len(items)))
        pixels, labels, is_query, pairs, own_texts = [], [], [], [], []
        for place, group in self.own(items):
            for sample, as_query in chosen[place]:
                picture, meta = decode_sample(sample)
                picture = self._augmented(picture, meta["domain"], as_query, others, rngs[place])
                pixels.append(self.transform(picture))
                labels.append(group.label)
                pairs.append(group.pair_id)
                is_query.append(as_query)
            own_texts += texts[place]
        batch: SkuPhotoBatch = {
            "pixels": torch.from_numpy(np.stack(pixels)), "sku": torch.tensor(labels), "pair": torch.tensor(pairs),
            "is_query": torch.tensor(is_query), "text": own_texts,
            "text_id": torch.tensor([distinct.get(text, -1) for text in own_texts]),
            "texts": [text for _, text in self.own(list(distinct))],
            "texts_id": torch.tensor([i for i, _ in self.own(list(distinct))], dtype=torch.long),
        }  # fmt: skip
        if self.counterfactuals is None:
            return batch
        return {**batch, **self._negatives(self.counterfactuals, items, number)}

    def _negatives(
        self, counterfactuals: Mapping[str, list[bytes]], groups: list[SkuGroup], number: int
    ) -> NegativePhotos:
        """Draw a counterfactual of every own SKU that has any, augmented as a catalogue photo."""
        first = {group.sku_id: place for place, group in reversed(list(enumerate(groups)))}
        pixels = [torch.zeros(0, 3, self.transform.size, self.transform.size)]
        labels = []
        for place, group in self.own(groups):
            if first[group.sku_id] == place and group.sku_id in counterfactuals:
                drawn, rng = counterfactuals[group.sku_id], self.rng(number, place, 1)
                picture = self._augmented(decode_png(drawn[rng.integers(len(drawn))]), CATALOG, False, [], rng)
                pixels.append(torch.from_numpy(self.transform(picture))[None])
                labels.append(group.label)
        return {"negative_pixels": torch.cat(pixels), "negative_sku": torch.tensor(labels, dtype=torch.long)}

    def _choose(self, group: SkuGroup, rng: np.random.Generator) -> list[tuple[RawSample, bool]]:
        """Draw a SKU's samples: the first half as queries, the rest as catalogue photos."""
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


def _sample(items: list[RawSample], count: int, rng: np.random.Generator) -> list[RawSample]:
    """Draw ``count`` items, without repeats if there are enough."""
    return [items[i] for i in rng.choice(len(items), count, replace=len(items) < count)]


def read_skus(files: list[Path]) -> Iterator[SkuGroup]:
    """Yield the SKUs of one shard number: its catalogue and query shards hold the same SKUs."""
    groups: dict[str, SkuGroup] = {}
    for sample in raw_samples(files):
        meta = json.loads(sample["json"])
        group = groups.setdefault(meta["sku_id"], SkuGroup(meta["split"], meta["sku_id"], meta["pair_id"]))
        if meta["domain"] == CATALOG:
            group.catalog.append(sample)
        elif meta["domain"] == QUERY and meta["pool"] != HELD_OUT:
            group.query.append(sample)
    yield from (group for group in groups.values() if group.catalog)
