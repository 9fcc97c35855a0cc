"""A gated residual on pooled views. Legend: B SKUs, V views (padded), D dim."""

import torch.nn.functional as F
from torch import Tensor

from skufp.models.aggregators.pooling import spread


def gated(pooled: Tensor, update: Tensor, gate: Tensor, views: Tensor, mask: Tensor) -> Tensor:
    """Normalise ``pooled`` + gate * spread * update / sqrt(D): [B, D], [B, D], [], [B, V, D], [B, V] -> [B, D].

    ``gate`` starts at zero, so at initialisation the output is ``pooled``; the layers behind ``update`` get gradients
    once the gate is open (as in ReZero, arXiv 2003.04887). The spread of the views scales the update, so the output for
    a single view is always that view. ``update`` has about unit variance, hence the root.
    """
    return F.normalize(pooled + gate * spread(views, mask) * update / pooled.shape[-1] ** 0.5, dim=-1)
