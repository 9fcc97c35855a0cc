"""AdamW with a linear warm-up and a cosine to zero, and a check that training did not diverge."""

import math
from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from skufp.errors import UserError


def adamw_cosine(
    groups: list[dict[str, Any]], weight_decay: float, warmup: float, steps: int
) -> OptimizerLRSchedulerConfig:
    """Return Lightning's optimiser dict. ``groups`` hold {"params", "lr"}; ``warmup`` is a share of ``steps``.

    Biases, norms and scalars (fewer than two dimensions) are not decayed.
    """
    split = []
    for group in groups:
        for decay, params in ((weight_decay, _matrices(group["params"])), (0.0, _vectors(group["params"]))):
            if params:
                split.append({"params": params, "lr": group["lr"], "weight_decay": decay})
    optimiser = torch.optim.AdamW(split)
    warm = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _matrices(params: list[nn.Parameter]) -> list[nn.Parameter]:
    return [p for p in params if p.requires_grad and p.ndim >= 2]


def _vectors(params: list[nn.Parameter]) -> list[nn.Parameter]:
    return [p for p in params if p.requires_grad and p.ndim < 2]


def raise_if_diverged(module: nn.Module) -> None:
    """Raise UserError where weights are not finite: every rank would be last, which looks like a bad model."""
    if broken := [name for name, p in module.named_parameters() if not p.isfinite().all()]:
        raise UserError(
            f"training diverged: {len(broken)} weights are not finite, e.g. {broken[0]}. Lower the learning rate or the"
            " loss weights; --cfg job shows them"
        )
