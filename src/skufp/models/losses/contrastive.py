"""Contrastive cross-entropy inside a batch, with any number of positives."""

import torch
from torch import Tensor


def info_nce(a: Tensor, b: Tensor, positive: Tensor, scale: Tensor, counts: Tensor | None = None) -> Tensor:
    """Return the symmetric InfoNCE of two sets (CLIP, arXiv 2103.00020, figure 3), for any number of positives.

    a [N, D], b [M, D] of unit norm; positive [N, M] bool, at least one in every row; scale multiplies cosines; counts
    [N, M] bool, the pairs that take part: all when None. With several positives their log-probabilities are averaged.
    A column without any positive is nobody's: it stands against the rows and asks nothing itself.
    """
    logits = a @ b.T * scale
    if counts is not None:
        logits = logits.masked_fill(~counts, torch.finfo(logits.dtype).min)
    rows = (logits.log_softmax(dim=1) * positive).sum(dim=1) / positive.sum(dim=1)
    asks = positive.any(dim=0)
    columns = (logits.log_softmax(dim=0) * positive).sum(dim=0)[asks] / positive.sum(dim=0)[asks]
    return -(rows.mean() + columns.mean()) / 2
