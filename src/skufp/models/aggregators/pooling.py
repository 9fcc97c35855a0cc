"""Aggregators without trained parameters (except GeM's exponent), and the masked statistics that the others use.

Legend: B SKUs, V views (padded), D dim. ``views`` have unit norm; ``mask`` [B, V] is True for real views, and every
SKU has at least one; ``meta`` [B, V, 4] is not read here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skufp.errors import UserError

CANCELLED = 1e-6  # share of a coordinate's largest magnitude below which its mean is rounding error
ROUNDING = 1e-5  # similarities nearer than this are equal: far above float32's error, far below differences of views


def masked_mean(views: Tensor, mask: Tensor) -> Tensor:
    """Mean over real views: [B, V, D], [B, V] -> [B, D] (not normalised)."""
    total = views.masked_fill(~mask.unsqueeze(-1), 0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp_min(1)


def spread(views: Tensor, mask: Tensor) -> Tensor:
    """The spread of a SKU's unit-norm views, [B, V, D], [B, V] -> [B, 1]: 1 - |mean|², 0 for a single view."""
    return 1 - masked_mean(views, mask).square().sum(dim=-1, keepdim=True)


def similarity_to_mean(views: Tensor, mask: Tensor) -> Tensor:
    """Every view's inner product with the mean of its SKU's views: [B, V, D], [B, V] -> [B, V]; padding has -inf."""
    similarity = (views * masked_mean(views, mask).unsqueeze(1)).sum(dim=-1)
    return similarity.masked_fill(~mask, float("-inf"))


class Mean(nn.Module):
    """The normalised mean of a SKU's views."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V], [B, V, 4] -> [B, D]."""
        return F.normalize(masked_mean(views, mask), dim=-1)


class Medoid(nn.Module):
    """The view with the largest sum of similarities to the SKU's other views.

    For views of unit norm that is the view nearest to their mean: sum over j != i of <x_i, x_j> = V <x_i, mean> - 1.
    Two views always tie. Ties are broken by the views' values, never by their order.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V], [B, V, 4] -> [B, D]."""
        similarity = similarity_to_mean(views, mask)
        tied = similarity >= similarity.amax(dim=1, keepdim=True) - ROUNDING
        ramp = torch.linspace(1, 2, views.shape[-1], dtype=views.dtype, device=views.device)
        content = (views * ramp).sum(dim=-1).masked_fill(~tied, float("-inf"))
        return views[torch.arange(len(views), device=views.device), content.argmax(dim=1)]


class TrimmedMean(nn.Module):
    """The mean without the share ``trim`` of views that are least similar to the mean of all.

    Of V views floor(trim * V) are dropped, so one always stays; of one or two views none is dropped. Whole views are
    trimmed, not single coordinates: the axes of an embedding have no meaning, so a per-coordinate trim would change
    with a rotation of the space, and could give a vector far from every view. Raises UserError unless 0 <= trim < 1.
    """

    def __init__(self, dim: int, trim: float = 0.2) -> None:
        super().__init__()
        if not 0 <= trim < 1:
            raise UserError(
                f"TrimmedMean: trim is the share of views to drop, 0 <= trim < 1, not {trim}. Try trim=0.2."
            )
        self.trim = trim

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V], [B, V, 4] -> [B, D]."""
        count = mask.sum(dim=1, keepdim=True)
        dropped = (self.trim * count + 1e-4).floor() * (count >= 3)  # 6 / 37 * 37 is 5.999... in float32
        order = similarity_to_mean(views, mask).argsort(dim=1, descending=True, stable=True)
        place = order.argsort(dim=1)  # 0 for the view most similar to the mean; padding comes last
        return F.normalize(masked_mean(views, place < count - dropped), dim=-1)


class GeM(nn.Module):
    """Generalised mean over views for signed coordinates: mean of sign(x)|x|^p, then the root that keeps the sign.

    p=1 is the mean; a larger p leans towards each coordinate's largest magnitude. With ``learn`` p is trained.
    Radenović et al., 2018, arXiv 1711.02512, equation 3, which pools activations that are never negative; the sign is
    what embeddings need. Raises UserError unless p > 0.
    """

    def __init__(self, dim: int, p: float = 3.0, learn: bool = False) -> None:
        super().__init__()
        if p <= 0:
            raise UserError(f"GeM: the exponent p has to be positive, not {p}. Try p=3.0; p=1.0 is the mean.")
        self.p = nn.Parameter(torch.tensor(float(p))) if learn else float(p)

    def forward(self, views: Tensor, mask: Tensor, meta: Tensor) -> Tensor:
        """[B, V, D], [B, V], [B, V, 4] -> [B, D]."""
        p = self.p.clamp_min(0.1) if isinstance(self.p, Tensor) else self.p
        real = views.masked_fill(~mask.unsqueeze(-1), 0)
        # The result scales with its input, so each coordinate is scaled to 1 first: no power under- or overflows.
        scale = real.abs().amax(dim=1, keepdim=True).clamp_min(1e-12).detach()
        power = masked_mean(real.sign() * (real / scale).abs() ** p, mask)
        # Views that cancel leave a rounding error, which the root (infinitely steep at 0) would amplify: set it to 0.
        root = power.abs().clamp_min(CANCELLED) ** (1 / p) * power.sign() * (power.abs() > CANCELLED)
        return F.normalize(root * scale.squeeze(1), dim=-1)
