"""The retriever: an image-text encoder trained with sigmoid losses over SKUs."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from skufp.models.losses.sigmoid import sigmoid_loss
from skufp.modules.encoder_folder import build_encoder
from skufp.modules.optimiser import adamw_cosine


class Retriever(pl.LightningModule):
    """Trains ``encoder`` (a spec) by ``training`` (the model's recipe, see config.Training).

    Two sigmoid losses: query images against catalogue images of the same SKU, and all images against texts
    (equal texts count as positives, since a template describes many SKUs).
    """

    def __init__(self, encoder: Mapping[str, Any], training: Mapping[str, Any], steps: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = build_encoder(encoder)
        self.training_recipe, self.steps = training, steps
        self.groups = self.encoder.parameter_groups(training["towers"])
        if training["gradient_checkpointing"] and hasattr(self.encoder, "enable_gradient_checkpointing"):
            self.encoder.enable_gradient_checkpointing()

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Return the weighted sum of both losses."""
        images = self.encoder.encode_image(batch["pixels"])
        query, recipe = batch["is_query"], self.training_recipe
        scale, bias = self.encoder.logit_scale.exp(), self.encoder.logit_bias
        same_sku = batch["sku"][:, None] == batch["sku"][None, :]
        image_loss = sigmoid_loss(images[query], images[~query], same_sku[query][:, ~query], scale, bias)
        self.log("train/image_loss", image_loss, prog_bar=True)
        loss = recipe["image_weight"] * image_loss
        texts = sorted({t for t in batch["text"] if t}) if recipe["text_weight"] else []
        if texts:
            number = {text: i for i, text in enumerate(texts)}
            owned = torch.tensor([number.get(t, -1) for t in batch["text"]], device=images.device)
            positive = owned[:, None] == torch.arange(len(texts), device=images.device)[None, :]
            encoded = self.encoder.encode_text(texts)
            text_loss = sigmoid_loss(images, encoded, positive, scale, bias)
            self.log("train/text_loss", text_loss)
            loss = loss + recipe["text_weight"] * text_loss
        self.log("train/loss", loss, batch_size=len(images))
        return loss

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> dict[str, Any]:
        """Return dev vectors for the retrieval callback."""
        vectors = self.encoder.encode_image(batch["pixels"])
        is_query = torch.tensor([m["domain"] == "query" for m in batch["meta"]], device=vectors.device)
        sku = [m["sku_id"] for m in batch["meta"]]
        return {"vectors": vectors, "row": batch["row"], "sku": sku, "is_query": is_query}

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW: towers at lr, heads at head_lr."""
        r = self.training_recipe
        groups = [
            {"params": self.groups["towers"], "lr": r["lr"]},
            {"params": self.groups["heads"], "lr": r["head_lr"]},
        ]
        return adamw_cosine(groups, r["weight_decay"], r["warmup"], self.steps)
