"""Contrastive cross-entropy inside a batch, with any number of positives."""

from torch import Tensor


def info_nce(a: Tensor, b: Tensor, positive: Tensor, scale: Tensor) -> Tensor:
    """Return the symmetric InfoNCE of two sets (CLIP, arXiv 2103.00020, figure 3), for any number of positives.

    a [N, D], b [M, D] of unit norm; positive [N, M] bool, at least one in every row and column; scale multiplies
    cosines. With several positives their log-probabilities are averaged.
    """
    logits = a @ b.T * scale
    rows = (logits.log_softmax(dim=1) * positive).sum(dim=1) / positive.sum(dim=1)
    columns = (logits.log_softmax(dim=0) * positive).sum(dim=0) / positive.sum(dim=0)
    return -(rows.mean() + columns.mean()) / 2
