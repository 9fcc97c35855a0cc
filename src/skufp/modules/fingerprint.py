"""The fingerprint: an aggregator trained so that a SKU's one vector ranks first for the SKU's queries.

Legend: B SKUs of the batch, V views, Q queries, M counterfactuals, D dim, S SKUs of the bank.
"""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from skufp.config import build
from skufp.errors import UserError
from skufp.models.batches import FingerprintBatch, FoundVectors, SkuBatch
from skufp.models.losses.bank import fresh_bank
from skufp.models.losses.exchange import all_gather, world_size
from skufp.models.losses.fingerprint import OF_QUERIES, Compared, distill
from skufp.models.matryoshka import mean_over_sizes, prefix, prefix_sizes
from skufp.modules.optimiser import adamw_cosine
from skufp.schema.fingerprint import complete_loss


class Fingerprint(pl.LightningModule):
    """Trains ``aggregator`` (a spec) with the weighted sum of ``loss`` (config.Loss) on streamed embeddings.

    ``bank`` [S, D] starts as the means of views and is updated with each computed fingerprint; equal ``bank_pairs`` [S]
    mark siblings. With ``loss.negatives`` the ranking losses also rank a query's own SKU among its counterfactuals; the
    losses that compare all scores with a teacher's do not use them. With ``loss.prefix_dims`` the sum is averaged over
    those prefix sizes (models/matryoshka.py).
    """

    bank: Tensor
    bank_pairs: Tensor

    def __init__(
        self, aggregator: Mapping[str, Any], loss: Mapping[str, Any], lr: float, weight_decay: float, warmup: float,
        steps: int, dim: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.aggregator = build(aggregator, dim=dim)
        self.loss = complete_loss(loss)
        if self.loss["sibling_weight"] <= 0:
            raise UserError(
                f"loss.sibling_weight={self.loss['sibling_weight']}: give a number above 0; 1 is no extra weight"
            )
        self.sizes = prefix_sizes(dim, self.loss["prefix_dims"])
        self.resumed_bank: Tensor | None = None
        self.lr, self.weight_decay, self.warmup, self.steps = lr, weight_decay, warmup, steps

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V], [B, V, 4] -> [B, D]."""
        return self.aggregator(views, mask, meta)

    def on_fit_start(self) -> None:
        """Set the bank to the means, or to that of the resumed run, and the pairs to the DataModule's."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        bank = torch.tensor(data.bank) if self.resumed_bank is None else self.resumed_bank
        self.register_buffer("bank", bank.to(self.device), persistent=False)
        self.register_buffer("bank_pairs", torch.as_tensor(data.bank_pairs, device=self.device), persistent=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the bank until training ends, so that a resumed run equals an uninterrupted one."""
        if "bank" in self._buffers and self.trainer.state.status == "running":
            checkpoint["bank"] = self.bank

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the bank."""
        self.resumed_bank = checkpoint.get("bank")

    def training_step(self, batch: FingerprintBatch, batch_index: int) -> Tensor:
        """Return the weighted sum of the losses whose weight is not 0, averaged over the prefix sizes."""
        fingerprint = self.shared(batch["views"], batch["mask"], batch["meta"]).float()
        with torch.autocast(self.device.type, enabled=False):  # ranks need finer scores than bf16 has
            by_size = [self.losses(batch, fingerprint, size) for size in self.sizes]
        losses = {name: mean_over_sizes(one[name] for one in by_size) for name in by_size[0]}
        self.bank[batch["bank_index"]] = fingerprint.detach()
        for name, value in losses.items():
            self.log(f"train/{name}_loss", value, batch_size=len(fingerprint))
        weights = self.loss["weights"]
        loss = sum((weights[name] * value for name, value in losses.items()), start=fingerprint.sum() * 0)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(fingerprint))
        return loss

    def shared(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """As forward; each process aggregates its share of the SKUs, and all get every fingerprint, with gradients.

        Every process then computes the losses of the whole batch.
        """
        if (world := world_size()) == 1:
            return self(views, mask, meta)
        place = torch.arange(len(views), device=views.device)
        dealt = [place[rank::world] for rank in range(world)]
        own = dealt[self.global_rank]
        used = own if len(own) else place[:1]  # fewer SKUs than processes: a forward pass whose result is not used
        mine = self(views[used], mask[used], meta[used])[: len(own)]
        return all_gather(mine)[torch.cat(dealt).argsort()]

    def losses(self, batch: FingerprintBatch, fingerprint: Tensor, size: int) -> dict[str, Tensor]:
        """Return every loss with a weight, in the first ``size`` dimensions."""
        student, weights = prefix(fingerprint, size), self.loss["weights"]
        found = {"distill": distill(batch, student, size)} if weights["distill"] else {}
        if len(batch["queries"]):
            target = batch["bank_index"][batch["query_target"]]
            bank = fresh_bank(prefix(self.bank, size), batch["bank_index"], student)
            compared = Compared(batch, size, bank, target, self.siblings(target), self.loss)
            found |= {name: loss(compared) for name, loss in OF_QUERIES.items() if weights[name]}
        return found

    def siblings(self, target: Tensor) -> Tensor:
        """Return [Q, S] bool: the other styles of the pair of each query's own SKU."""
        same = self.bank_pairs[target][:, None] == self.bank_pairs[None, :]
        return same.scatter(1, target[:, None], False)

    def validation_step(self, batch: SkuBatch, batch_index: int) -> FoundVectors:
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
