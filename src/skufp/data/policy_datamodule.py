"""The DataModule of the policy: queries whose rank under every action is known.

Legend: N queries, B of a batch, D dim, F features, A actions.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from skufp.artifacts.actions import ActionLabels
from skufp.data.place import ALONE, Place
from skufp.data.splits import fold_of_pair
from skufp.data.step_batches import StepBatches
from skufp.errors import UserError
from skufp.models.batches import LabelledQueries, columns


class Draws(StepBatches[None, LabelledQueries]):
    """``steps`` batches of ``rows``, drawn without repeats."""

    def __init__(self, rows: LabelledQueries, batch_size: int, steps: int, seed: int, place: Place = ALONE) -> None:
        super().__init__(steps, seed, *place)
        self.rows, self.count = rows, len(rows["fold"])
        self.batch_size = min(batch_size, self.count)

    def draws(self) -> Iterator[None]:
        """Yield None for every batch: rows are in memory."""
        return itertools.repeat(None)

    def collate(self, items: None, number: int) -> LabelledQueries:
        """Return this process's share of batch ``number``."""
        drawn = self.rng(number).choice(self.count, self.batch_size, replace=False)
        chosen = torch.from_numpy(drawn[self.rank :: self.world])
        return columns(lambda part: part[chosen], self.rows)


class PolicyDataModule(pl.LightningDataModule):
    """Holds the labels of the actions stage, ``inputs['actions']``: train queries, and dev queries for selection.

    A pair's fold is one of ``folds``, -1 in dev. Noisy twins are used only in the report.
    ``can_train`` is False where there is no train query, or no action but identity.
    """

    def __init__(
        self, inputs: Mapping[str, str], batch_size: int, seed: int, folds: int = 4, steps: int = 1, workers: int = 1
    ) -> None:
        super().__init__()
        if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
            raise UserError(f"policy.folds={folds}: give 2 or more; each is left out by a member of the policy")
        self.batch_size, self.seed, self.folds, self.steps = batch_size, seed, folds, steps
        labels = ActionLabels.load(Path(inputs["actions"]))
        self.about, self.dim = labels.about, labels.vectors.shape[1]
        parts = {split: labels.where(split=split, twin=False) for split in ("train", "dev")}
        self.skus = {split: np.char.add(f"{split}/", p.column("sku_id").astype(str)) for split, p in parts.items()}
        self.rows = {split: self._rows(split, part) for split, part in parts.items()}
        choice = len(labels.actions) > 1
        self.can_train, self.has_dev_queries = (choice and len(parts[split]) > 0 for split in ("train", "dev"))
        self.expected: dict[str, int] = {}

    def _rows(self, split: str, part: ActionLabels) -> LabelledQueries:
        pairs = part.column("pair_id").tolist()
        fold = [fold_of_pair(pair, self.folds, self.seed) if split == "train" else -1 for pair in pairs]
        return {
            "embedding": _tensor(part.vectors), "features": _tensor(part.quality), "utility": _tensor(part.utilities()),
            "weight": _tensor(sku_weights(self.skus[split])), "fold": torch.tensor(fold, dtype=torch.long),
        }  # fmt: skip

    def module_arguments(self) -> dict[str, Any]:
        """Return the LightningModule's arguments that depend on the data: names, sizes, and the labels' settings."""
        about = self.about
        return {"actions": about.actions, "features": about.features, "specs": about.specs, "encoder": about.encoder,
                "dim": self.dim, "folds": self.folds}  # fmt: skip

    def attach(self, module: Any) -> None:
        """Print a note where there is no training data."""
        if not self.can_train:
            print("no labelled train query, or no action but identity: the policy will never act")

    def first_batches(self) -> Iterator[LabelledQueries]:
        """Yield all train queries, for networks that start from data."""
        yield self.rows["train"]

    def train_dataloader(self) -> DataLoader[LabelledQueries]:
        """Return random batches of train queries."""
        draws = Draws(self.rows["train"], self.batch_size, self.steps, self.seed, Place.of(self.trainer))
        return DataLoader(draws, batch_size=None)

    def val_dataloader(self) -> DataLoader[LabelledQueries]:
        """Return all dev queries as one batch."""
        return DataLoader([self.rows["dev"]], batch_size=None)  # type: ignore[arg-type]

    def evidence(self) -> tuple[LabelledQueries, np.ndarray]:
        """Return the rows of train and dev together and their SKUs [N], for the calibration of a threshold."""
        both = columns(lambda *parts: torch.cat(parts), self.rows["train"], self.rows["dev"])
        return both, np.concatenate([self.skus["train"], self.skus["dev"]])


def _tensor(values: np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(values, np.float32))


def sku_weights(sku: np.ndarray) -> np.ndarray:
    """Return [N]: one over the number of queries of each query's SKU ``sku`` [N], scaled to a mean of 1."""
    _, group, counts = np.unique(sku, return_inverse=True, return_counts=True)
    weight = 1 / counts[group]
    return weight * (len(weight) / max(1.0, float(weight.sum())))
