"""View tokens, the input of the learned aggregators: a view's embedding plus embeddings of its metadata.

Legend: B SKUs, V views (padded), D dim.
"""

from torch import Tensor, nn

from skufp.errors import UserError

# Values of the metadata columns: viewpoint 0-3, occlusion 0-3, zoom 0-3, generated 0-1.
META_SIZES = (4, 4, 4, 2)


class ViewTokens(nn.Module):
    """Views at unit variance plus, with ``use_meta``, one learned vector per value of each metadata column.

    The vectors start at zero, so at initialisation a token is the view's embedding alone.
    """

    def __init__(self, dim: int, use_meta: bool = True) -> None:
        super().__init__()
        tables = [nn.Embedding(size, dim) for size in META_SIZES] if use_meta else []
        for table in tables:
            nn.init.zeros_(table.weight)
        self.tables = nn.ModuleList(tables)

    def forward(self, views: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V, 4] -> [B, V, D]."""
        tokens = views * views.shape[-1] ** 0.5  # unit norm -> unit variance, as LayerNorm expects
        for column, table in enumerate(self.tables):
            tokens = tokens + table(meta[..., column])
        return tokens


def check_heads(name: str, dim: int, heads: int) -> None:
    """Raise UserError unless ``heads`` attention heads share ``dim`` dimensions evenly."""
    if heads < 1 or dim % heads:
        fitting = [str(n) for n in range(1, 17) if dim % n == 0]
        raise UserError(
            f"{name}: {heads} heads do not divide {dim} dimensions. Try heads= one of {', '.join(fitting)}."
        )
