"""Aggregators: a SKU's views into one vector, in the encoder's own space.

Legend: B SKUs, V views (padded), D dim. ``mask`` [B, V] is True for real views; every SKU has at least one.
All outputs have unit norm and do not depend on the order of the views.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def masked_mean(views: Tensor, mask: Tensor) -> Tensor:
    """Mean over real views: [B, V, D], [B, V] -> [B, D] (not normalised)."""
    weight = mask.to(views.dtype).unsqueeze(-1)
    return (views * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1)


class Mean(nn.Module):
    """The normalised mean of a SKU's views; it has nothing to learn."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V], [B, V, 4] -> [B, D]."""
        return F.normalize(masked_mean(views, mask), dim=-1)


class Attention(nn.Module):
    """Set attention: learned weights over views and a gated residual on top of their mean.

    At the start the weights are uniform and the gate is zero, so the untrained output is the mean. The residual is
    scaled by how much the views disagree: a SKU with one view is that view, whatever was learnt. View tokens carry
    viewpoint, occlusion, zoom and generated-or-real. Based on pooling by multi-head attention, Set Transformer,
    arXiv 1810.00825, section 3.2.
    """

    def __init__(self, dim: int, heads: int = 4, depth: int = 1, dropout: float = 0.1, use_meta: bool = True) -> None:
        super().__init__()
        self.use_meta = use_meta
        tables = [nn.Embedding(size, dim) for size in META_SIZES]
        for table in tables:
            nn.init.zeros_(table.weight)
        self.meta = nn.ModuleList(tables)
        layer = nn.TransformerEncoderLayer(dim, heads, 2 * dim, dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.score = nn.Linear(dim, 1)
        self.update = nn.Linear(dim, dim)
        self.gate = nn.Parameter(torch.zeros(()))
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V], [B, V, 4] -> [B, D]."""
        tokens = views * views.shape[-1] ** 0.5  # unit norm -> unit variance, as LayerNorm expects
        if self.use_meta:
            tokens = tokens + sum(table(meta[..., i]) for i, table in enumerate(self.meta))
        tokens = self.norm(self.encoder(tokens, src_key_padding_mask=~mask))
        logits = self.score(tokens).squeeze(-1).masked_fill(~mask, float("-inf"))
        weights = logits.softmax(dim=1).unsqueeze(-1)
        pooled = (weights * views).sum(dim=1)
        residual = self.update((weights * tokens).sum(dim=1)) / views.shape[-1] ** 0.5
        return F.normalize(pooled + self.gate * spread(views, mask) * residual, dim=-1)


def spread(views: Tensor, mask: Tensor) -> Tensor:
    """How much a SKU's unit-norm views disagree, [B, V, D], [B, V] -> [B, 1]: 1 - |mean|², 0 for a single view."""
    return 1 - masked_mean(views, mask).square().sum(dim=-1, keepdim=True)


# Values of the metadata columns: viewpoint 0-3, occlusion 0-3, zoom 0-3, generated 0-1.
META_SIZES = (4, 4, 4, 2)
