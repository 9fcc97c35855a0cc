"""Contrastive cross-entropy inside a batch, with any number of positives."""

import torch
from torch import Tensor


def info_nce(a: Tensor, b: Tensor, positive: Tensor, scale: Tensor, counts: Tensor | None = None) -> Tensor:
    """Return the symmetric InfoNCE of two sets (CLIP, arXiv 2103.00020, figure 3), for any number of positives.

    a [N, D], b [M, D] of unit norm; positive [N, M] bool; scale multiplies cosines; counts [N, M] bool, the pairs that
    take part: all when None. A row or column without any positive is a distractor: a negative for the other side, never
    an anchor.
    """
    transposed = None if counts is None else counts.T
    rows = anchor_entropy(a, b, positive, scale, counts)
    columns = anchor_entropy(b, a, positive.T, scale, transposed)
    return (rows.mean() + columns.mean()) / 2


def anchor_entropy(
    anchors: Tensor, others: Tensor, positive: Tensor, scale: Tensor, counts: Tensor | None = None
) -> Tensor:
    """Return -log p of the positives among the others, averaged over each anchor's positives: [anchors with positives].

    anchors [N, D], others [M, D] of unit norm; positive and counts [N, M] as in info_nce.
    """
    logits = anchors @ others.T * scale
    if counts is not None:
        logits = logits.masked_fill(~counts, torch.finfo(logits.dtype).min)
    asks = positive.any(dim=1)
    agreement = (logits.log_softmax(dim=1) * positive).sum(dim=1)
    return -agreement[asks] / positive.sum(dim=1)[asks]
