"""The retriever: an image-text encoder trained with sigmoid losses over SKUs."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from skufp.models.batches import FoundVectors, PhotoBatch, SkuPhotoBatch
from skufp.models.dual_encoder import SavesMemory, StartsFromData
from skufp.models.gradient_cache import encode_in_parts
from skufp.models.losses.exchange import world_size
from skufp.models.losses.shared_batch import Labelled, shared_info_nce, shared_sigmoid
from skufp.models.matryoshka import prefix_sizes
from skufp.modules.encoder_folder import build_encoder
from skufp.modules.optimiser import adamw_cosine

MAX_SCALE = 100.0


class Retriever(pl.LightningModule):
    """Trains ``encoder`` (a spec) by ``training`` (the model's recipe, see schema.models.Training).

    Query images are pulled to catalogue images of the same SKU (``image_loss``: sigmoid or info_nce) and pushed from
    those of other SKUs, and from counterfactuals of their own SKU if the batch has any. Images are pulled to their
    texts by the sigmoid loss (equal texts are positives, since a template describes many SKUs). Without
    ``text_moves_images`` the text loss has no gradient for images. With ``prefix_dims`` every loss is averaged over
    those prefix sizes (models/matryoshka.py). With ``encode_at_once`` images and texts are encoded in parts of that
    size: less memory, the same gradients.

    A batch may be shared by several processes: losses compare all images and texts of the whole batch.
    """

    def __init__(self, encoder: Mapping[str, Any], training: Mapping[str, Any], steps: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = build_encoder(encoder)
        self.training_recipe, self.steps = training, steps
        self.sizes = prefix_sizes(self.encoder.dim, training["prefix_dims"])
        self.groups = self.encoder.parameter_groups(training["towers"])
        if training["gradient_checkpointing"] and isinstance(self.encoder, SavesMemory):
            self.encoder.enable_gradient_checkpointing()

    @torch.no_grad()
    def initialise(self, batches: Iterable[SkuPhotoBatch]) -> None:
        """Initialise an encoder that starts from data (StartsFromData) with some batches."""
        if isinstance(self.encoder, StartsFromData):
            seen = list(batches)
            pixels = torch.cat([batch["pixels"] for batch in seen]).to(self.device)
            self.encoder.initialise(pixels, [text for batch in seen for text in batch["text"]])

    def training_step(self, batch: SkuPhotoBatch, batch_index: int) -> Tensor:
        """Return the weighted sum of both losses, this process's part."""
        recipe = self.training_recipe
        images = self.encode_image(batch["pixels"])
        image_loss = self.image_loss(images, batch)
        text_loss = self.text_loss(images, batch) if recipe["text_weight"] else images.sum() * 0
        loss = recipe["image_weight"] * image_loss + recipe["text_weight"] * text_loss
        values = {"train/image_loss": image_loss, "train/text_loss": text_loss, "train/loss": loss}
        self.log_dict(values, prog_bar=False, batch_size=len(images), sync_dist=world_size() > 1)
        return loss

    def encode_image(self, pixels: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, D], in parts of ``encode_at_once`` images."""
        return encode_in_parts(self.encoder.encode_image, pixels, self.training_recipe["encode_at_once"])

    def image_loss(self, images: Tensor, batch: SkuPhotoBatch) -> Tensor:
        """Pull queries to the catalogue images of their SKU, and push them from those of all other SKUs."""
        query, sku = batch["is_query"], batch["sku"]
        rows = Labelled.plain(images[query], sku[query])
        columns = Labelled.plain(images[~query], sku[~query])
        if "negative_sku" in batch:
            drawn = batch["negative_pixels"]
            vectors = self.encode_image(drawn) if len(drawn) else images.new_zeros(0, images.shape[1])
            columns = columns.with_distractors(vectors, batch["negative_sku"])
        if self.training_recipe["image_loss"] == "info_nce":
            return shared_info_nce(rows, columns, self.scale(), self.sizes)
        return shared_sigmoid(rows, columns, self.scale(), self.encoder.logit_bias, self.sizes)

    def text_loss(self, images: Tensor, batch: SkuPhotoBatch) -> Tensor:
        """Pull images to their texts, and push them from other texts; images without text take no part."""
        texted = batch["text_id"] >= 0
        scale = self.scale()
        if not self.training_recipe["text_moves_images"]:
            images, scale = images.detach(), scale.detach()
        encoded = images.new_zeros(0, images.shape[1])
        if batch["texts"]:
            encoded = encode_in_parts(self.encoder.encode_text, batch["texts"], self.training_recipe["encode_at_once"])
        rows = Labelled.plain(images[texted], batch["text_id"][texted])
        columns = Labelled.plain(encoded, batch["texts_id"])
        return shared_sigmoid(rows, columns, scale, self.encoder.logit_bias, self.sizes)

    def scale(self) -> Tensor:
        """Return the factor of cosines: learned, at most MAX_SCALE."""
        return self.encoder.logit_scale.exp().clamp(max=MAX_SCALE)

    def validation_step(self, batch: PhotoBatch, batch_index: int) -> FoundVectors:
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
