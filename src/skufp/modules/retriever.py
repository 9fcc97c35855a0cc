"""The retriever: an image-text encoder trained with sigmoid losses over SKUs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from skufp.models.losses.contrastive import info_nce
from skufp.models.losses.sigmoid import sigmoid_loss
from skufp.models.matryoshka import mean_over_sizes, prefix, prefix_sizes
from skufp.modules.encoder_folder import build_encoder
from skufp.modules.optimiser import adamw_cosine

MAX_SCALE = 100.0


class Retriever(pl.LightningModule):
    """Trains ``encoder`` (a spec) by ``training`` (the model's recipe, see config.Training).

    Query images are pulled to catalogue images of the same SKU (``image_loss``: sigmoid or info_nce) and pushed from
    those of others; where a batch brings counterfactuals, pictures that are nobody's, also from their SKU's. Images are
    pulled to their texts by the sigmoid loss (equal texts count as positives, since a template describes many SKUs).
    Without ``text_moves_images`` the texts learn to meet the images and leave these where they are. With
    ``prefix_dims`` every loss is averaged over those sizes, so that the first dimensions serve on their own.
    """

    def __init__(self, encoder: Mapping[str, Any], training: Mapping[str, Any], steps: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = build_encoder(encoder)
        self.training_recipe, self.steps = training, steps
        self.sizes = prefix_sizes(self.encoder.dim, training["prefix_dims"])
        self.groups = self.encoder.parameter_groups(training["towers"])
        if training["gradient_checkpointing"] and hasattr(self.encoder, "enable_gradient_checkpointing"):
            self.encoder.enable_gradient_checkpointing()

    @torch.no_grad()
    def initialise(self, batches: Iterable[dict[str, Any]]) -> None:
        """Let an encoder that starts from data (``initialise``) see some of it."""
        if hasattr(self.encoder, "initialise"):
            seen = list(batches)
            pixels = torch.cat([batch["pixels"] for batch in seen]).to(self.device)
            self.encoder.initialise(pixels, [text for batch in seen for text in batch["text"]])

    def training_step(self, batch: dict[str, Any], batch_index: int) -> Tensor:
        """Return the weighted sum of both losses."""
        recipe = self.training_recipe
        images = self.encoder.encode_image(batch["pixels"])
        image_loss = self._image_loss(images, batch)
        text_loss = self._text_loss(images, batch["text"]) if recipe["text_weight"] else images.sum() * 0
        loss = recipe["image_weight"] * image_loss + recipe["text_weight"] * text_loss
        values = {"train/image_loss": image_loss, "train/text_loss": text_loss, "train/loss": loss}
        self.log_dict(values, prog_bar=False, batch_size=len(images))
        return loss

    def _image_loss(self, images: Tensor, batch: dict[str, Any]) -> Tensor:
        query = batch["is_query"]
        positive = (batch["sku"][:, None] == batch["sku"][None, :])[query][:, ~query]
        a, b, scale = images[query], images[~query], self.encoder.logit_scale.exp().clamp(max=MAX_SCALE)
        counts = None
        if len(batch.get("negative_pixels", ())):
            own = batch["sku"][query][:, None] == batch["negative_sku"][None, :]
            b = torch.cat([b, self.encoder.encode_image(batch["negative_pixels"])])
            counts = torch.cat([torch.ones_like(positive), own], dim=1)
            positive = torch.cat([positive, torch.zeros_like(own)], dim=1)
        if self.training_recipe["image_loss"] == "info_nce":
            return self._at_every_size(info_nce, a, b, positive, scale, counts)
        return self._at_every_size(sigmoid_loss, a, b, positive, scale, self.encoder.logit_bias, counts)

    def _at_every_size(self, loss: Callable[..., Tensor], a: Tensor, b: Tensor, *rest: Tensor | None) -> Tensor:
        """Return the mean of a loss over the sizes that the vectors are to serve at."""
        return mean_over_sizes(loss(prefix(a, size), prefix(b, size), *rest) for size in self.sizes)

    def _text_loss(self, images: Tensor, texts: list[str]) -> Tensor:
        distinct = sorted({text for text in texts if text})
        if not distinct:
            return images.sum() * 0
        number = {text: i for i, text in enumerate(distinct)}
        owned = torch.tensor([number.get(text, -1) for text in texts], device=images.device)
        positive = owned[:, None] == torch.arange(len(distinct), device=images.device)[None, :]
        scale = self.encoder.logit_scale.exp().clamp(max=MAX_SCALE)
        if not self.training_recipe["text_moves_images"]:
            images, scale = images.detach(), scale.detach()
        encoded = self.encoder.encode_text(distinct)
        return self._at_every_size(sigmoid_loss, images, encoded, positive, scale, self.encoder.logit_bias)

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> dict[str, Any]:
        """Return dev vectors for the retrieval callback."""
        vectors = self.encoder.encode_image(batch["pixels"])
        is_query = torch.tensor([m["domain"] == "query" for m in batch["meta"]], device=vectors.device)
        sku = [m["sku_id"] for m in batch["meta"]]
        return {"vectors": vectors, "row": batch["row"], "sku": sku, "is_query": is_query}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW: towers at lr, heads at head_lr."""
        r = self.training_recipe
        groups = [
            {"params": self.groups["towers"], "lr": r["lr"]},
            {"params": self.groups["heads"], "lr": r["head_lr"]},
        ]
        return adamw_cosine(groups, r["weight_decay"], r["warmup"], self.steps)
