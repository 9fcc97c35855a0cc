"""The DataModule that streams pairs of catalogue views for the augmenter."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from skufp.artifacts.records import CATALOG, CropRecord, read_records
from skufp.data.place import ALONE, Place
from skufp.data.shards import shard_files
from skufp.data.view_kinds import ViewKinds
from skufp.data.view_pairs import NO_PAIRS, FixedPairs, PairCollate, ViewPair, ViewPairs, spread_pairs
from skufp.errors import UserError
from skufp.models.batches import ViewPairBatch
from skufp.models.preprocessing import Preprocessing

FIRST = 8  # batches to start from


class PairDataModule(pl.LightningDataModule):
    """Streams pairs of the prepare stage's catalogue views, ``size`` pixels a side, one SKU a pair.

    ``inputs['prepare']`` holds records, crops and shards, ``inputs['retriever']`` the encoder of the source view.
    ``actions`` is the table of ViewKinds; ``flip`` and ``balance_actions`` are those of ViewPairs, ``drafts`` is
    PairCollate's. Every validation passes over the same ``val_pairs`` dev pairs. ``skus`` counts the SKUs of train and
    dev with two views or more, ``left_out`` those with one. ``can_train`` is False where train has no pair.
    """

    def __init__(
        self, inputs: Mapping[str, str], actions: Mapping[str, Mapping[str, Sequence[int]]], size: int,
        batch_size: int, seed: int, steps: int, workers: int = 2, flip: float = 0.5, balance_actions: bool = False,
        drafts: bool = True, val_pairs: int = 128,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 0 <= flip <= 1:
            raise UserError(f"stages.augmenter.datamodule.flip={flip} is no share; give 0 to 1, e.g. 0.5")
        self.prepared, self.encoder_folder = Path(inputs["prepare"]), Path(inputs["retriever"]) / "encoder"
        self.size, self.kinds = size, ViewKinds(actions)
        self.batch_size, self.seed, self.steps, self.workers = batch_size, seed, steps, workers
        self.flip, self.balance_actions, self.drafts = flip, balance_actions, drafts
        self.skus: dict[str, int] = {}
        self.left_out: dict[str, int] = {}
        self._fixed: dict[str, list[tuple[CropRecord, CropRecord]]] = {}
        for split in ("train", "dev"):
            skus = self._views(split)
            paired = [views for views in skus if len(views) > 1]
            self.skus[split], self.left_out[split] = len(paired), len(skus) - len(paired)
            self._fixed[split] = spread_pairs(paired, val_pairs, seed)
        self.can_train = self.skus["train"] > 0
        self.has_dev_queries = self.skus["dev"] > 0
        self.expected: dict[str, int] = {}

    preprocessing: Preprocessing

    def module_arguments(self) -> dict[str, Any]:
        """Return the LightningModule's arguments that depend on the data: the conditioning encoder's folder."""
        return {"encoder_folder": str(self.encoder_folder)}

    def attach(self, module: Any) -> None:
        """Use the preprocessing of the module's conditioning encoder; UserError if there is no pair."""
        if not self.can_train:
            raise UserError(NO_PAIRS)
        self.preprocessing = module.preprocessing

    def _views(self, split: str) -> list[list[CropRecord]]:
        """Return the catalogue records of every SKU."""
        path = self.prepared / f"{split}_image_text.jsonl"
        skus: dict[str, list[CropRecord]] = {}
        for record in read_records(path) if path.exists() else []:
            if record.domain == CATALOG:
                skus.setdefault(record.sku_id, []).append(record)
        return list(skus.values())

    def _collate(self) -> PairCollate:
        return PairCollate(Preprocessing(self.size), self.preprocessing, self.kinds, self.drafts)

    def pairs(self, steps: int, place: Place = ALONE) -> ViewPairs:
        """Return ``steps`` batches, the share of a process."""
        return ViewPairs(
            [[file] for file in shard_files(self.prepared / "shards", f"train-{CATALOG}")], self._collate(),
            self.batch_size, steps, self.seed, self.skus["train"], self.flip, self.balance_actions, *place,
        )  # fmt: skip

    def train_dataloader(self) -> DataLoader[ViewPairBatch]:
        """Return batches of pairs; one epoch is all of the recipe's steps."""
        pairs = self.pairs(self.steps, Place.of(self.trainer))
        return DataLoader(pairs, batch_size=None, num_workers=min(self.workers, self.steps))

    def first_batches(self) -> Iterator[ViewPairBatch]:
        """Yield a few batches, for networks that start from data."""
        yield from self.pairs(FIRST)

    def val_dataloader(self) -> DataLoader[ViewPair]:
        """Return the fixed dev pairs, the same on every rank, in batches."""
        return DataLoader(FixedPairs(self.prepared, self._fixed["dev"]), self.batch_size, collate_fn=self._collate())

    def sample_pairs(self, count: int) -> ViewPairBatch:
        """Return the first ``count`` dev pairs, of as many SKUs as possible, as a batch; train's where dev has none.

        Raises UserError where train has none either.
        """
        pairs = FixedPairs(self.prepared, (self._fixed["dev"] or self._fixed["train"])[:count])
        if not len(pairs):
            raise UserError(NO_PAIRS)
        return self._collate()([pairs[i] for i in range(len(pairs))])
