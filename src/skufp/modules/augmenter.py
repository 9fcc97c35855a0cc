"""The augmenter: a diffusion transformer that learns to turn one real catalogue view into another of the same SKU.

Legend: B pairs, C channels and H W sides of the latents, S side of the pictures.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from skufp.config import build
from skufp.errors import UserError, nearest
from skufp.models.batches import ViewPairBatch
from skufp.models.dit import CONDITIONS, ViewDiT
from skufp.models.dual_encoder import WeightsMissingError
from skufp.models.flow import flow_loss, interpolate, sample_times
from skufp.models.losses.exchange import world_size
from skufp.models.view_sampler import Given, ViewSampler
from skufp.modules.encoder_folder import load_encoder
from skufp.modules.optimiser import adamw_cosine


class Augmenter(pl.LightningModule):
    """Trains a ViewDiT by rectified flow on pairs of views.

    ``network`` holds ViewDiT's size, patch and predicts; ``latents`` is the spec of a latent space; ``encoder_folder``
    holds the image encoder of the source view; ``actions`` are the names of the view conditions, by id.
    ``training``: lr, weight_decay, warmup, the centre and spread of the logit-normal times, ``drop`` (how often each of
    CONDITIONS is hidden, for guidance), gradient_checkpointing. Encoder and latent space are frozen.
    """

    def __init__(
        self, network: Mapping[str, Any], latents: Mapping[str, Any], actions: Sequence[str],
        training: Mapping[str, Any], image_size: int, steps: int, encoder_folder: str,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.training_recipe, self.steps, self.actions = training, steps, list(actions)
        if unknown := [name for name in training["drop"] if name not in CONDITIONS]:
            raise UserError(f"augmenter.training.drop: there is no '{unknown[0]}'.{nearest(unknown[0], CONDITIONS)}")
        try:
            self.latents = build(latents)
        except WeightsMissingError as error:
            raise UserError(str(error)) from error
        if image_size % self.latents.factor:
            raise UserError(
                f"augmenter.image_size={image_size}: a latent covers {self.latents.factor} pixels a side; give a"
                " multiple of that"
            )
        side = image_size // self.latents.factor
        self.latent_shape = (self.latents.channels, side, side)
        self.encoder = load_encoder(Path(encoder_folder))
        self.preprocessing = self.encoder.preprocessing
        try:
            self.network = ViewDiT(
                **network, channels=self.latents.channels, side=side,
                actions=len(self.actions), encoder_dim=self.encoder.dim, token_dim=self.encoder.token_dim,
            )  # fmt: skip
        except ValueError as error:
            raise UserError(f"augmenter.network: {error}") from error
        if training["gradient_checkpointing"]:
            self.network.enable_gradient_checkpointing()
        self.latents.requires_grad_(False)

    def train(self, mode: bool = True) -> "Augmenter":
        """Set the network's mode; the frozen encoder and latent space stay in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        self.latents.eval()
        return self

    @torch.no_grad()
    def initialise(self, batches: Iterable[ViewPairBatch]) -> None:
        """Calibrate the network on the differences between views and their drafts."""
        pairs = [(self.latents.encode(batch["draft"]), self.latents.encode(batch["target"])) for batch in batches]
        self.network.calibrate(torch.cat([draft for draft, _ in pairs]), torch.cat([target for _, target in pairs]))

    @torch.no_grad()
    def describe(self, batch: ViewPairBatch) -> Given:
        """Return the network's inputs from a batch's source views and drafts."""
        tokens, pooled = self.encoder.encode_tokens(batch["encoder_pixels"])
        return Given(self.latents.encode(batch["source"]), self.latents.encode(batch["draft"]), tokens, pooled)

    def training_step(self, batch: ViewPairBatch, batch_index: int) -> Tensor:
        """Return the velocity's error at one random time per pair, with conditions dropped at random.

        Random numbers are drawn on the CPU for the whole batch and each process takes its share, so that they depend
        neither on the device nor on the number of processes.
        """
        recipe, whole = self.training_recipe, batch.get("whole", len(batch["view_kind"]))
        own = slice(self.global_rank, None, world_size())
        times = sample_times(whole, recipe["time_spread"], recipe["time_centre"])[own].to(self.device)
        share = torch.tensor([recipe["drop"].get(name, 0.0) for name in CONDITIONS])
        keep = (torch.rand(whole, len(CONDITIONS)) >= share)[own].to(self.device)
        noise = torch.randn(whole, *self.latent_shape)[own].to(self.device)
        loss = self.loss(batch, times, keep, noise) * (len(times) * world_size() / whole)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(times), sync_dist=world_size() > 1)
        return loss

    def loss(
        self, batch: ViewPairBatch, times: Tensor, keep: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Return the mean squared error of the velocity, [], at ``times`` [B]."""
        with torch.no_grad():
            target = self.latents.encode(batch["target"])
        given = self.describe(batch)
        noise = torch.randn_like(target) if noise is None else noise
        x = interpolate(target, noise, times)
        predicted = self.network(
            x, times, given.source, given.draft, given.tokens, given.pooled, batch["view_kind"], keep
        )
        return flow_loss(predicted, target, noise)

    def validation_step(self, batch: ViewPairBatch, batch_index: int) -> None:
        """Log the loss on dev pairs with noise and times that are the same at every validation."""
        size = len(batch["view_kind"])
        generator = torch.Generator().manual_seed(batch_index)
        noise = torch.randn(size, *self.latent_shape, generator=generator).to(self.device)
        times = ((torch.arange(size) + 0.5) / size).to(self.device)
        self.log("val/loss", self.loss(batch, times, noise=noise), batch_size=size, sync_dist=True)

    def sample(self, batch: ViewPairBatch, sampler: ViewSampler, seed: int, start: float = 1.0) -> Tensor:
        """Return views [B, 3, S, S] in [-1, 1], sampled from the batch's drafts; a ``start`` of 1 is noise alone."""
        given = self.describe(batch)
        noise = torch.randn(given.draft.shape, generator=torch.Generator().manual_seed(seed)).to(self.device)
        starts = torch.full((len(noise),), start, device=self.device)
        return self.latents.decode(sampler.translate(self.network, given, batch["view_kind"], noise, starts))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over the network."""
        recipe = self.training_recipe
        groups = [{"params": list(self.network.parameters()), "lr": recipe["lr"]}]
        return adamw_cosine(groups, recipe["weight_decay"], recipe["warmup"], self.steps)
