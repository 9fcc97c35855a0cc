"""The fingerprint: an aggregator trained so that one vector per SKU ranks first for its queries.

Legend: B SKUs, V views, Q queries, D dim, S SKUs of the bank.
"""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from skufp.config import build
from skufp.models.losses.contrastive import bank_contrastive
from skufp.models.losses.distill import teacher_cosine
from skufp.modules.optimiser import adamw_cosine


class Fingerprint(pl.LightningModule):
    """Trains ``aggregator`` (a spec) with the weighted losses of ``loss`` on streamed embeddings.

    ``bank`` [S, D] starts as the mean of views and follows the fingerprints as they are computed.
    """

    bank: Tensor

    def __init__(
        self, aggregator: Mapping[str, Any], loss: Mapping[str, Any], lr: float, weight_decay: float, warmup: float,
        steps: int, dim: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.aggregator = build(aggregator, dim=dim)
        self.loss_weights = loss
        self.lr, self.weight_decay, self.warmup, self.steps = lr, weight_decay, warmup, steps

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V], [B, V, 4] -> [B, D]."""
        return self.aggregator(views, mask, meta)

    def on_fit_start(self) -> None:
        """Fill the bank with the means that the DataModule has."""
        bank = torch.as_tensor(self.trainer.datamodule.bank, device=self.device)  # type: ignore[attr-defined]
        self.register_buffer("bank", bank, persistent=False)

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Return the weighted sum of distillation and bank contrast."""
        fingerprint = self(batch["views"], batch["mask"], batch["meta"])
        weights = self.loss_weights
        losses = {"distill": teacher_cosine(fingerprint, batch["teacher"], batch["teacher_weight"])}
        if len(batch["queries"]):
            losses["contrastive"] = bank_contrastive(
                batch["queries"],
                fingerprint,
                batch["query_target"],
                self.bank,
                batch["bank_index"],
                weights["temperature"],
            )
        self.bank[batch["bank_index"]] = fingerprint.detach()
        for name, value in losses.items():
            self.log(f"train/{name}_loss", value, batch_size=len(fingerprint))
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(fingerprint))
        return loss

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> dict[str, Any]:
        """Return dev fingerprints and queries for the retrieval callback, and the agreement with the best view."""
        fingerprint = self(batch["views"], batch["mask"], batch["meta"])
        sku = batch["sku_id"]
        queries = [sku[i] for i in batch["query_target"].tolist()]
        is_query = torch.tensor([False] * len(sku) + [True] * len(queries), device=fingerprint.device)
        return {
            "vectors": torch.cat([fingerprint, batch["queries"].to(fingerprint.dtype)]), "sku": sku + queries,
            "is_query": is_query, "views": batch["views"], "mask": batch["mask"],
        }  # fmt: skip

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over the aggregator."""
        groups = [{"params": list(self.aggregator.parameters()), "lr": self.lr}]
        return adamw_cosine(groups, self.weight_decay, self.warmup, self.steps)
