"""Deep sets: a network per view, their mean, a network per SKU. Legend: B SKUs, V views (padded), D dim."""

import torch
from torch import Tensor, nn

from skufp.models.aggregators.pooling import masked_mean
from skufp.models.aggregators.residual import gated
from skufp.models.aggregators.tokens import ViewTokens


class DeepSets(nn.Module):
    """rho(mean over views of phi(view)), both two-layer networks, as a gated residual on the views' mean.

    At initialisation the output is the mean, with dropout too. The output for a single view is always that view.
    ``ratio`` is the hidden width over ``dim``. Zaheer et al., arXiv 1703.06114, theorem 2, with a mean in place of the
    sum, so that the input of rho has the same scale for 1 and for 64 views.
    """

    def __init__(self, dim: int, ratio: int = 2, dropout: float = 0.1, use_meta: bool = True) -> None:
        super().__init__()
        self.tokens = ViewTokens(dim, use_meta)
        self.phi = _two_layers(dim, ratio * dim, dropout)
        self.rho = _two_layers(dim, ratio * dim, dropout)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V], [B, V, 4] -> [B, D]."""
        summary = masked_mean(self.phi(self.tokens(views, meta)), mask)
        return gated(masked_mean(views, mask), self.rho(summary), self.gate, views, mask)


def _two_layers(dim: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
    )
