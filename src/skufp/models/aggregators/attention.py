"""Set attention over a SKU's views. Legend: B SKUs, V views (padded), D dim."""

import torch
from torch import Tensor, nn

from skufp.models.aggregators.residual import gated
from skufp.models.aggregators.tokens import ViewTokens, check_heads


class Attention(nn.Module):
    """Set attention: learned weights over views and a gated residual on top of their weighted mean.

    At initialisation all scores are zero and so is the gate: the weights are uniform and the output is the mean, with
    dropout too. The output for a single view is always that view. Based on pooling by multi-head attention, Set
    Transformer, arXiv 1810.00825, section 3.2. Raises UserError if ``heads`` does not divide ``dim``.
    """

    def __init__(self, dim: int, heads: int = 4, depth: int = 1, dropout: float = 0.1, use_meta: bool = True) -> None:
        super().__init__()
        check_heads("Attention", dim, heads)
        self.tokens = ViewTokens(dim, use_meta)
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
        tokens = self.norm(self.encoder(self.tokens(views, meta), src_key_padding_mask=~mask))
        logits = self.score(tokens).squeeze(-1).masked_fill(~mask, float("-inf"))
        weights = logits.softmax(dim=1).unsqueeze(-1)
        pooled, summary = (weights * views).sum(dim=1), (weights * tokens).sum(dim=1)
        return gated(pooled, self.update(summary), self.gate, views, mask)
