"""Learned queries that read a SKU's views. Legend: B SKUs, V views (padded), K query tokens, D dim."""

import torch
from torch import Tensor, nn

from skufp.models.aggregators.pooling import masked_mean
from skufp.models.aggregators.residual import gated
from skufp.models.aggregators.tokens import ViewTokens, check_heads


class QFormer(nn.Module):
    """K learned query tokens attend to each other and to the views; their mean is a gated residual on the views' mean.

    At initialisation the output is the mean, with dropout too. The output for a single view is always that view. The
    Q-Former of BLIP-2, arXiv 2301.12597, section 3.1, reduced to its image side and without its pretrained BERT:
    self-attention among queries, cross-attention to views, MLP, ``depth`` times. UserError if ``heads`` does not divide
    ``dim``.
    """

    def __init__(
        self, dim: int, queries: int = 4, heads: int = 4, depth: int = 1, dropout: float = 0.1, use_meta: bool = True
    ) -> None:
        super().__init__()
        check_heads("QFormer", dim, heads)
        self.tokens = ViewTokens(dim, use_meta)
        self.queries = nn.Parameter(torch.randn(queries, dim) * 0.02)  # small, as BERT's
        layer = nn.TransformerDecoderLayer(dim, heads, 2 * dim, dropout, batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(layer, depth, norm=nn.LayerNorm(dim))
        self.update = nn.Linear(dim, dim)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V], [B, V, 4] -> [B, D]."""
        queries = self.queries.expand(len(views), -1, -1)
        read = self.decoder(queries, self.tokens(views, meta), memory_key_padding_mask=~mask)  # [B, K, D]
        return gated(masked_mean(views, mask), self.update(read.mean(dim=1)), self.gate, views, mask)
