"""The DataModule that streams SKU-embedding shards: one sample per SKU, views padded to a mask.

Legend: B SKUs, V views (padded), Q queries of the batch, D dim, S all train SKUs.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import IterableDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from skufp.artifacts.folder import read_json
from skufp.artifacts.teachers import read_teachers
from skufp.data.shards import INDEX, decode_sku_sample, raw_samples, sample_count, shard_files
from skufp.data.splits import HELD_OUT

BUFFER = 4096
META = ("viewpoint", "occlusion", "zoom_in", "generated")


class SkuSamples(IterableDataset):
    """Decoded SKU samples in batches; shuffled and endless up to ``steps`` batches, or one pass in order."""

    def __init__(
        self, files: list[Path], batch_size: int, steps: int | None, seed: int, view_dropout: float = 0.0,
        teachers: Mapping[str, tuple[str, float]] | None = None, bank: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        self.files, self.batch_size, self.steps, self.seed = files, batch_size, steps, seed
        self.view_dropout, self.teachers, self.bank = view_dropout, teachers or {}, bank or {}
        self.batches_done = 0

    def __len__(self) -> int:
        if self.steps is None:
            raise TypeError("a single pass has no set length")
        return self.steps

    def state_dict(self) -> dict[str, int]:
        """Return where the stream is."""
        return {"batches_done": self.batches_done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a state."""
        self.batches_done = state["batches_done"]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        batches = self._one_pass() if self.steps is None else self._endless()
        for number, samples in enumerate(batches):
            if number == self.steps:
                break
            if number >= self.batches_done:
                self.batches_done = number + 1
                yield self._collate(samples, np.random.default_rng([self.seed, number]))
        self.batches_done = 0

    def _one_pass(self) -> Iterator[list[dict[str, Any]]]:
        batch: list[dict[str, Any]] = []
        for sample in raw_samples(self.files):
            batch.append(sample)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _endless(self) -> Iterator[list[dict[str, Any]]]:
        """Shuffle shards and, through a buffer, their samples."""
        rng = np.random.default_rng(self.seed)
        buffer: list[dict[str, Any]] = []
        while True:
            for shard in rng.permutation(len(self.files)):
                buffer.extend(raw_samples([self.files[shard]]))
                while len(buffer) >= max(BUFFER, self.batch_size):
                    yield self._draw(buffer, rng)
            while len(buffer) >= self.batch_size or (buffer and len(buffer) < self.batch_size):
                yield self._draw(buffer, rng)

    def _draw(self, buffer: list[dict[str, Any]], rng: np.random.Generator) -> list[dict[str, Any]]:
        size = min(self.batch_size, len(buffer))
        chosen = rng.choice(len(buffer), size, replace=False)
        batch = [buffer[i] for i in chosen]
        for i in sorted(chosen, reverse=True):
            buffer[i] = buffer[-1]
            buffer.pop()
        return batch

    def _collate(self, samples: list[dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
        decoded = [decode_sku_sample(s) for s in samples]
        batch = pad_views([d["views"] for d in decoded], [d["meta"] for d in decoded])
        if self.view_dropout:
            batch["mask"] = drop_views(batch["mask"], self.view_dropout, rng)
        queries, target = [], []
        for i, d in enumerate(decoded):
            pools = d["meta"]["pools"]
            used = [q for q, pool in enumerate(pools) if self.steps is None or pool == HELD_OUT]
            queries.append(d["queries"][used])
            target += [i] * len(used)
        batch["queries"] = torch.from_numpy(np.concatenate(queries).astype(np.float32))
        batch["query_target"] = torch.tensor(target, dtype=torch.long)
        batch["sku_id"] = [d["meta"]["sku_id"] for d in decoded]
        batch["sku_meta"] = [d["meta"] for d in decoded]
        if self.steps is not None:
            batch["bank_index"] = torch.tensor([self.bank[sku] for sku in batch["sku_id"]])
            batch["teacher"], batch["teacher_weight"] = self._teachers(decoded)
        return batch

    def _teachers(self, decoded: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        """Return the teacher's vector [B, D] and weight [B]: its margin, 0 for a SKU without a teacher."""
        vectors, weights = [], []
        for d in decoded:
            view, margin = self.teachers.get(d["meta"]["sku_id"], ("", 0.0))
            ids = d["meta"]["view_ids"]
            vectors.append(d["views"][ids.index(view) if view in ids else 0])
            weights.append(max(margin, 0.0) if view in ids else 0.0)
        return torch.from_numpy(np.stack(vectors).astype(np.float32)), torch.tensor(weights)


def pad_views(views: list[np.ndarray], metas: list[dict[str, Any]]) -> dict[str, Any]:
    """Return {views [B, V, D], mask [B, V], meta [B, V, 4]} of SKUs with different numbers of views."""
    most = max(len(v) for v in views)
    padded = torch.zeros(len(views), most, views[0].shape[1])
    mask = torch.zeros(len(views), most, dtype=torch.bool)
    columns = torch.zeros(len(views), most, len(META), dtype=torch.long)
    for i, (v, meta) in enumerate(zip(views, metas, strict=True)):
        padded[i, : len(v)] = torch.from_numpy(v.astype(np.float32))
        mask[i, : len(v)] = True
        columns[i, : len(v)] = torch.tensor([[int(x) for x in meta[name]] for name in META]).T
    return {"views": padded, "mask": mask, "meta": columns}


def drop_views(mask: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Hide a share of the views; every SKU keeps at least one."""
    keep = mask & torch.from_numpy(rng.random(tuple(mask.shape)) >= share)
    lost = ~keep.any(dim=1)
    keep[lost] = mask[lost]
    return keep


class SkuDataModule(pl.LightningDataModule):
    """Streams the embed stage's SKU shards, with teachers joined in.

    ``bank`` [S, D] holds the mean of views of every train SKU, in the order of ``bank_index``. ``can_train`` is
    False where train has no held-out query: fingerprints then stay the mean.
    """

    def __init__(
        self,
        inputs: Mapping[str, str],
        batch_size: int,
        view_dropout: float,
        seed: int,
        steps: int = 1,
        workers: int = 1,
    ) -> None:
        super().__init__()
        self.folder = Path(inputs["embed"]) / "shards"
        self.teacher_folder = Path(inputs["teacher"])
        self.batch_size, self.view_dropout, self.seed, self.steps = batch_size, view_dropout, seed, steps
        self.workers = workers
        self.splits = [name.removesuffix("-sku") for name in read_json(self.folder / INDEX)]
        self.train_files = shard_files(self.folder, "train-sku")
        self.dim = self._first(self.splits[0])["views"].shape[1]
        self.bank, self.bank_rows, self.can_train = self._bank()
        self.has_dev_queries = "dev" in self.splits and any(len(b["queries"]) for b in self.all_skus("dev"))
        self.expected = {"gallery": sample_count(self.folder, "dev-sku")}

    def module_arguments(self) -> dict[str, Any]:
        """What the LightningModule must know of the data."""
        return {"dim": self.dim}

    def attach(self, module: Any) -> None:
        """Nothing is taken over from the module."""

    def _first(self, split: str) -> dict[str, Any]:
        return decode_sku_sample(next(iter(raw_samples(shard_files(self.folder, f"{split}-sku")))))

    def _bank(self) -> tuple[np.ndarray, dict[str, int], bool]:
        """Return the means, their rows, and whether there is any held-out query to learn from."""
        rows: dict[str, int] = {}
        means: list[np.ndarray] = []
        queries = 0
        for raw in raw_samples(self.train_files):
            sample = decode_sku_sample(raw)
            rows[sample["meta"]["sku_id"]] = len(rows)
            mean = sample["views"].mean(axis=0)
            means.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
            queries += sample["meta"]["pools"].count(HELD_OUT)
        bank = np.stack(means) if means else np.zeros((0, self.dim))
        return bank.astype(np.float32), rows, queries > 0

    def _teacher_table(self) -> dict[str, tuple[str, float]]:
        table = read_teachers(self.teacher_folder)
        return {
            row["sku_id"]: (row["view_id"], row["margin"])
            for row in table.to_pylist()
            if row["is_teacher"] and row["fold"] == -1 and not row["fallback"] and row["split"] == "train"
        }

    def train_dataloader(self) -> StatefulDataLoader:
        """Return shuffled batches of SKUs with their held-out queries and teachers; every rank draws its own."""
        rank = self.trainer.global_rank if self.trainer else 0
        samples = SkuSamples(
            self.train_files,
            self.batch_size,
            self.steps,
            self.seed + 7919 * rank,
            self.view_dropout,
            self._teacher_table(),
            self.bank_rows,
        )
        return StatefulDataLoader(samples, batch_size=None)

    def val_dataloader(self) -> StatefulDataLoader:
        """Return one pass over the dev SKUs."""
        return StatefulDataLoader(self.all_skus("dev"), batch_size=None)

    def all_skus(self, split: str) -> SkuSamples:
        """Return one pass over a split's SKUs in order."""
        return SkuSamples(shard_files(self.folder, f"{split}-sku"), self.batch_size, None, self.seed)
