"""The policy's training: a regression of the labelled utilities of actions.

Legend: B queries, D dim, F features, A actions (identity first), M members.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from skufp.models.batches import LabelledQueries, columns
from skufp.models.losses.exchange import total, world_size
from skufp.models.policy import MARKS, ActionPolicy, prices, refuse_other
from skufp.modules.optimiser import adamw_cosine


class Policy(pl.LightningModule):
    """Trains an ActionPolicy of ``network`` (bottleneck, hidden, dropout) on clipped utilities by a Huber loss.

    ``training``: lr, weight_decay, warmup, and ``huber``, the error beyond which the loss grows linearly. ``price`` is
    that of models.policy.prices. The checkpoint holds names, settings and threshold.
    """

    def __init__(
        self, network: Mapping[str, Any], training: Mapping[str, Any], price: Mapping[str, float], steps: int,
        actions: Sequence[str], features: Sequence[str], specs: Mapping[str, Any], encoder: str, dim: int, folds: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.network = ActionPolicy(actions, features, dim, specs, encoder, members=folds, **network)
        encoded = [name for name in specs if name != actions[0]]
        self.network.price.copy_(torch.tensor(prices(actions, encoded, price)))
        self.training_recipe, self.steps = training, steps

    @torch.no_grad()
    def initialise(self, batches: Iterable[LabelledQueries]) -> None:
        """Set the network's input statistics and mean utilities from the training queries."""
        seen = columns(lambda *parts: torch.cat(parts), *batches)
        self.network.standardise_by(seen["embedding"], seen["features"])
        self.network.start_from(seen["utility"], seen["weight"], seen["fold"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights trained with other actions or features, even if their number is the same."""
        trained = checkpoint.get("hyper_parameters", {})
        for name in MARKS:
            refuse_other(name, trained.get(name), getattr(self.network, name))

    def training_step(self, batch: LabelledQueries, batch_index: int) -> Tensor:
        """Return the members' mean loss, each over the queries outside its own fold."""
        predicted = self.network.each(batch["embedding"], batch["features"]).float()
        member = torch.arange(len(predicted), device=predicted.device)[:, None]
        weight = batch["weight"] * (batch["fold"] != member)
        error = (weight * self.error(predicted, batch["utility"])).sum()
        loss = error * world_size() / total(weight.sum()).clamp_min(1e-12)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["fold"]), sync_dist=world_size() > 1)
        return loss

    def error(self, predicted: Tensor, utility: Tensor) -> Tensor:
        """[…, B, A], [B, A] -> the Huber loss […, B], a mean over all actions but identity."""
        delta = self.training_recipe["huber"]
        error = F.huber_loss(predicted, utility.expand_as(predicted), reduction="none", delta=delta)
        return error[..., 1:].mean(dim=-1)

    def validation_step(self, batch: LabelledQueries, batch_index: int) -> None:
        """Log the loss on dev queries, the loss of predicting 0, and the policy's gain and cost."""
        weight, utility = batch["weight"], batch["utility"]
        predicted = self.network(batch["embedding"], batch["features"]).float()
        action = self.network.decide(batch["embedding"], batch["features"])
        net = (utility - self.network.price).gather(1, action[:, None])
        values = {
            "val/loss": (weight * self.error(predicted, utility)).sum() / weight.sum(),
            "val/loss_of_nothing": (weight * self.error(torch.zeros_like(predicted), utility)).sum() / weight.sum(),
            "val/gain": net.mean(), "val/act_rate": (action > 0).float().mean(),
        }  # fmt: skip
        self.log_dict(values, batch_size=len(weight), sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over all members."""
        recipe = self.training_recipe
        groups = [{"params": list(self.network.parameters()), "lr": recipe["lr"]}]
        return adamw_cosine(groups, recipe["weight_decay"], recipe["warmup"], self.steps)
