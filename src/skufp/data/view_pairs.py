"""Pairs of real catalogue views of one SKU, streamed from image shards.

Legend: B pairs, S side of the augmenter's pictures, E side of the conditioning encoder's, in pixels.
"""

import functools
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from skufp.artifacts.records import CropRecord
from skufp.data.augment import squared
from skufp.data.drafts import draft, garment_mask
from skufp.data.shards import RawSample, decode_mask, decode_sample
from skufp.data.sku_batches import BUFFER_SKUS, SkuGroup, read_skus
from skufp.data.step_batches import StepBatches, refuse_small_batches
from skufp.data.view_kinds import ViewKinds
from skufp.errors import UserError
from skufp.models.batches import ViewPairBatch
from skufp.models.preprocessing import Preprocessing

NO_PAIRS = "no SKU has two catalogue views, so there is no pair to learn from; use views=classic or views=none"


class ViewPair(NamedTuple):
    """Raw samples of two views of one SKU; ``mirrored`` flips both pictures from left to right."""

    source: RawSample
    target: RawSample
    mirrored: bool = False


class View(NamedTuple):
    """A decoded sample; the mask [H, W] is None where none was cut."""

    picture: Image.Image
    record: CropRecord
    mask: np.ndarray | None

    @classmethod
    def decode(cls, sample: RawSample) -> "View":
        """Decode a sample of a shard."""
        picture, meta = decode_sample(sample)
        return cls(picture, CropRecord.from_dict(meta), decode_mask(sample))


@dataclass(frozen=True)
class PairCollate:
    """Turns pairs into a batch.

    Drafts are those of data/drafts.py; without ``drafts`` the draft is the source. Pictures are mirrored after
    resizing, which is cheapest.
    """

    preprocessing: Preprocessing
    encoder_preprocessing: Preprocessing
    kinds: ViewKinds
    drafts: bool = True

    def __call__(self, pairs: Sequence[ViewPair]) -> ViewPairBatch:
        """Decode and stack ``pairs``."""
        mirrored = torch.tensor([pair.mirrored for pair in pairs])
        sources = [View.decode(pair.source) for pair in pairs]
        targets = [View.decode(pair.target) for pair in pairs]
        source, target = self._pixels(sources), self._pixels(targets)
        encoder_pixels = source
        if self.encoder_preprocessing != self.preprocessing:
            encoder_pixels = np.stack([self.encoder_preprocessing(view.picture) for view in sources])
        drafts = source
        if self.drafts:
            drafts = np.stack([draft(s, self._mask(own), t, self._mask(other))
                               for s, own, t, other in zip(source, sources, target, targets, strict=True)])  # fmt: skip
        return {
            "source": _mirrored(source, mirrored),
            "target": _mirrored(target, mirrored),
            "draft": _mirrored(drafts, mirrored),
            "encoder_pixels": _mirrored(encoder_pixels, mirrored),
            "view_kind": torch.tensor([self.kind(view.record) for view in targets]),
            "sku_id": [view.record.sku_id for view in sources],
            "source_view": [view.record.view_id for view in sources],
            "target_view": [view.record.view_id for view in targets],
        }

    def _pixels(self, views: list[View]) -> np.ndarray:
        return np.stack([self.preprocessing(view.picture) for view in views])

    def _mask(self, view: View) -> np.ndarray:
        return squared(garment_mask(np.asarray(view.picture), view.mask), self.preprocessing.size)

    def kind(self, record: CropRecord) -> int:
        """Return the id of a view's kind."""
        return self.kinds.id(self.kinds.of(record.viewpoint, record.zoom_in))


def _mirrored(pixels: np.ndarray, mirrored: torch.Tensor) -> torch.Tensor:
    """Return [B, 3, side, side]; those of ``mirrored`` [B] flipped from left to right."""
    stacked = torch.from_numpy(pixels)
    return torch.where(mirrored[:, None, None, None], stacked.flip(-1), stacked)


class ViewPairs(StepBatches[list[SkuGroup], ViewPairBatch]):
    """Batches of ``batch_size`` pairs.

    ``shards`` lists for every shard number its files. ``skus`` is the number of SKUs with two views or more; SKUs with
    one view are left out. SKUs are drawn uniformly, whatever their number of views, through a buffer; if all fit the
    buffer, shards are read only once. A share ``flip`` of the pairs is mirrored, both views alike. ``balance_actions``
    draws the target's kind uniformly among those of its SKU, instead of drawing uniformly among its views. Raises
    UserError where no SKU has two views, or a batch has fewer pairs than there are processes.
    """

    def __init__(
        self, shards: list[list[Path]], collate: PairCollate, batch_size: int, steps: int, seed: int,
        skus: int, flip: float = 0.5, balance_actions: bool = False, rank: int = 0, world: int = 1, start: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(steps, seed, rank, world, start)
        refuse_small_batches("augmenter.training.batch_size", batch_size, world)
        self.shards, self.join, self.batch_size = shards, collate, batch_size
        self.flip, self.balance_actions = flip, balance_actions
        self.buffer_skus, self.all_fit = max(batch_size, min(skus, BUFFER_SKUS)), skus <= BUFFER_SKUS

    def draws(self) -> Iterator[list[SkuGroup]]:
        """Yield the SKUs of each batch."""
        rng = np.random.default_rng(self.seed)
        buffer: list[SkuGroup] = []
        for group in self._groups(rng):
            buffer.append(group)
            if len(buffer) >= self.buffer_skus:
                chosen = rng.permutation(len(buffer))
                yield [buffer[i] for i in chosen[: self.batch_size]]
                buffer = [buffer[i] for i in chosen[self.batch_size :]]

    def collate(self, items: list[SkuGroup], number: int) -> ViewPairBatch:
        """Draw and decode a pair of each of this process's SKUs; ``whole`` [] is the number of all pairs."""
        pairs = [self._draw_pair(group, self.rng(number, place)) for place, group in self.own(items)]
        return {**self.join(pairs), "whole": len(items)}

    def _groups(self, rng: np.random.Generator) -> Iterator[SkuGroup]:
        """Yield SKUs with two views endlessly, shard by shard."""
        read = functools.cache(self._read) if self.all_fit else self._read
        while True:
            found = False
            for number in rng.permutation(len(self.shards)).tolist():
                for group in read(number):
                    found = True
                    yield group
            if not found:
                raise UserError(NO_PAIRS)

    def _read(self, number: int) -> list[SkuGroup]:
        return [group for group in read_skus(self.shards[number]) if len(group.catalog) > 1]

    def _draw_pair(self, group: SkuGroup, rng: np.random.Generator) -> ViewPair:
        target = int(rng.choice(self._targets(group, rng)))
        source = int(rng.integers(len(group.catalog) - 1))
        source += source >= target  # every view but the target
        return ViewPair(group.catalog[source], group.catalog[target], bool(rng.random() < self.flip))

    def _targets(self, group: SkuGroup, rng: np.random.Generator) -> list[int]:
        """Return the views to draw the target from: all, or those of a kind that is drawn first."""
        everything = list(range(len(group.catalog)))
        if not self.balance_actions:
            return everything
        kinds = [self.join.kind(CropRecord.from_dict(json.loads(s["json"]))) for s in group.catalog]
        wanted = int(rng.choice(sorted(set(kinds))))
        return [i for i in everything if kinds[i] == wanted]


class FixedPairs(Dataset[ViewPair]):
    """A list of pairs, read from the crops under ``root``: the same ones every time."""

    def __init__(self, root: Path, pairs: Sequence[tuple[CropRecord, CropRecord]]) -> None:
        self.root, self.pairs = root, pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> ViewPair:
        source, target = self.pairs[index]
        return ViewPair(self._read(source), self._read(target))

    def _read(self, record: CropRecord) -> RawSample:
        """Return the sample that a shard would hold."""
        mask = {"mask.png": (self.root / record.mask_path).read_bytes()} if record.mask_path else {}
        return {"jpg": (self.root / record.image_path).read_bytes(), "json": json.dumps(record.to_dict())} | mask


def spread_pairs(skus: Sequence[Sequence[CropRecord]], limit: int, seed: int) -> list[tuple[CropRecord, CropRecord]]:
    """Return ordered pairs of views, at most ``limit``: one of every SKU, then a second one of every SKU, and so on."""
    rng = np.random.default_rng(seed)
    chosen = [skus[i] for i in rng.permutation(len(skus))[:limit]]
    pairs = [list(itertools.permutations(views, 2)) for views in chosen]
    shuffled = [[own[i] for i in rng.permutation(len(own))] for own in pairs]
    rounds = itertools.zip_longest(*shuffled)
    return list(itertools.islice((pair for one_each in rounds for pair in one_each if pair), limit))
