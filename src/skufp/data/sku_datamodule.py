"""The DataModule that streams SKU-embedding shards, one sample per SKU.

Legend: S all train SKUs, D dim.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, IterableDataset

from skufp.data.place import Place
from skufp.data.shards import SkuSample, decode_sku_sample, raw_samples, read_index, sample_count, shard_files
from skufp.data.sku_collate import Samples, TrainingCollate, collate_all
from skufp.data.sku_teachers import Teachers
from skufp.data.splits import HELD_OUT, LEARN, fold_of_pair
from skufp.data.step_batches import StepBatches
from skufp.errors import UserError
from skufp.models.batches import FingerprintBatch, SkuBatch

BUFFER = 4096
Collate = Callable[[Samples, np.random.Generator], FingerprintBatch]


class SkuPass(IterableDataset[SkuBatch]):
    """One pass over decoded SKU samples in order, in batches: the share of process ``rank`` of ``world``."""

    def __init__(self, files: list[Path], batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.files, self.batch_size, self.rank, self.world = files, batch_size, rank, world

    def __iter__(self) -> Iterator[SkuBatch]:
        own = itertools.islice(raw_samples(self.files), self.rank, None, self.world)
        samples = map(decode_sku_sample, own)
        while batch := list(itertools.islice(samples, self.batch_size)):
            yield collate_all(batch)


class SkuDraws(StepBatches[Samples, FingerprintBatch]):
    """``steps`` shuffled batches of decoded SKU samples, made by ``collate``.

    Vectors are small: every process has the whole batch, and the module divides the work.
    """

    def __init__(
        self, files: list[Path], batch_size: int, steps: int, seed: int, collate: Collate, start: int = 0
    ) -> None:
        super().__init__(steps, seed, start=start)
        self.files, self.batch_size, self.join = files, batch_size, collate

    def collate(self, items: Samples, number: int) -> FingerprintBatch:
        """Join a batch's samples."""
        return self.join(items, self.rng(number))

    def draws(self) -> Iterator[Samples]:
        """Shuffle shards and, through a buffer, their samples; if all fit the buffer, they are read only once."""
        if not self.files:
            return
        rng = np.random.default_rng(self.seed)
        everything = list(itertools.islice(self._read(self.files), BUFFER + 1))
        if len(everything) > BUFFER:
            everything = []
        buffer: Samples = []
        while True:
            if everything:
                buffer.extend(everything)
            else:
                for shard in rng.permutation(len(self.files)):
                    buffer.extend(self._read([self.files[shard]]))
                    while len(buffer) >= max(BUFFER, self.batch_size):
                        yield self._draw(buffer, rng)
            while buffer:
                yield self._draw(buffer, rng)

    @staticmethod
    def _read(files: list[Path]) -> Iterator[SkuSample]:
        return map(decode_sku_sample, raw_samples(files))

    def _draw(self, buffer: Samples, rng: np.random.Generator) -> Samples:
        size = min(self.batch_size, len(buffer))
        chosen = rng.choice(len(buffer), size, replace=False)
        batch = [buffer[i] for i in chosen]
        for i in sorted(chosen, reverse=True):
            buffer[i] = buffer[-1]
            buffer.pop()
        return batch


class SkuDataModule(pl.LightningDataModule):
    """Streams the embed stage's SKU shards, with teachers joined in.

    ``bank`` [S, D] holds the mean of views of every train SKU, ``bank_pairs`` [S] its pair's number (equal for
    siblings). ``query_pools`` are the pools of training queries: held_out, which the retriever never saw, optionally
    also learn. ``left_out`` (fold, folds) leaves out the queries and teachers of a fold of pairs, for cross-fitting.
    With ``negatives`` training batches hold the SKUs' counterfactuals.
    ``can_train`` is False where there are no queries: fingerprints are then the mean.
    """

    def __init__(
        self, inputs: Mapping[str, str], batch_size: int, seed: int, view_dropout: float = 0.0,
        hidden_views_ask: bool = False, query_pools: Sequence[str] = (HELD_OUT,),
        left_out: tuple[int, int] | None = None, steps: int = 1, workers: int = 1, negatives: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.folder = Path(inputs["embed"]) / "shards"
        self.teachers = Teachers.load(Path(inputs["teacher"])) if "teacher" in inputs else Teachers({}, {})
        self.batch_size, self.seed, self.steps, self.workers = batch_size, seed, steps, workers
        self.view_dropout, self.hidden_views_ask, self.query_pools = view_dropout, hidden_views_ask, tuple(query_pools)
        self._check()
        self.left_out, self.negatives = left_out, negatives
        self.splits = [name.removesuffix("-sku") for name in read_index(self.folder)]
        self.train_files = shard_files(self.folder, "train-sku")
        self.dim = self._first(self.splits[0])["views"].shape[1]
        self._read_bank()
        if self.negatives and not self.counterfactuals:
            raise UserError(
                "loss.negatives=true, but no train SKU has a counterfactual that was kept: choose views=dit, which has"
                " the condition counterfactual, or write loss.negatives=false"
            )
        self.has_dev_queries = "dev" in self.splits and any(len(b["queries"]) for b in self.all_skus("dev"))
        self.expected = {"gallery": sample_count(self.folder, "dev-sku")}

    def _check(self) -> None:
        if unknown := set(self.query_pools) - {HELD_OUT, LEARN}:
            raise UserError(
                f"query_pools={list(self.query_pools)}: {', '.join(sorted(unknown))} is no pool; write"
                f" stages.fingerprint.datamodule.query_pools=[{HELD_OUT}] or [{HELD_OUT},{LEARN}]"
            )
        if self.hidden_views_ask and not self.view_dropout:
            raise UserError("hidden_views_ask=true needs views that are hidden: give view_dropout=0.2")

    def module_arguments(self) -> dict[str, Any]:
        """Return the LightningModule's arguments that depend on the data."""
        return {"dim": self.dim}

    def attach(self, module: Any) -> None:
        """Do nothing: no setting comes from the module."""

    def _first(self, split: str) -> SkuSample:
        return decode_sku_sample(next(iter(raw_samples(shard_files(self.folder, f"{split}-sku")))))

    def _read_bank(self) -> None:
        """Read the means of the train SKUs, their rows and pairs, and whether there is any training query."""
        self.bank_rows: dict[str, int] = {}
        means: list[np.ndarray] = []
        pairs: list[int] = []
        self.can_train, self.counterfactuals = False, 0
        for sample in map(decode_sku_sample, raw_samples(self.train_files)):
            self.bank_rows[sample["meta"]["sku_id"]] = len(pairs)
            mean = sample["views"].mean(axis=0)
            means.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
            pairs.append(sample["meta"]["pair_id"])
            asks = any(pool in self.query_pools for pool in sample["meta"]["pools"])
            self.can_train |= asks and not self.is_left_out(sample["meta"]["pair_id"])
            self.counterfactuals += len(sample["negatives"])
        self.bank = np.stack(means).astype(np.float32) if means else np.zeros((0, self.dim), np.float32)
        self.bank_pairs = np.array(pairs, np.int64)

    def is_left_out(self, pair_id: int) -> bool:
        """Return whether the queries of a pair are left out of training."""
        return self.left_out is not None and fold_of_pair(pair_id, self.left_out[1], self.seed) == self.left_out[0]

    def train_dataloader(self) -> DataLoader[FingerprintBatch]:
        """Return shuffled batches of SKUs with their queries and teachers, the same in every process."""
        collate = TrainingCollate(
            self.teachers, self.bank_rows, self.query_pools, self.view_dropout, self.hidden_views_ask, self.is_left_out,
            self.negatives,
        )  # fmt: skip
        start = Place.of(self.trainer).start
        draws = SkuDraws(self.train_files, self.batch_size, self.steps, self.seed, collate, start)
        return DataLoader(draws, batch_size=None)

    def val_dataloader(self) -> DataLoader[SkuBatch]:
        """Return one pass over the dev SKUs, this process's share."""
        place = Place.of(self.trainer)
        return DataLoader(self.all_skus("dev", place.rank, place.world), batch_size=None)

    def all_skus(self, split: str, rank: int = 0, world: int = 1) -> SkuPass:
        """Return one pass over a split's SKUs in order, the share of process ``rank`` of ``world``."""
        return SkuPass(shard_files(self.folder, f"{split}-sku"), self.batch_size, rank, world)
