"""Contrastive cross-entropies: inside a batch with many positives, and against the whole SKU bank."""

import torch
import torch.nn.functional as F
from torch import Tensor


def bank_contrastive(
    query: Tensor, fingerprint: Tensor, target: Tensor, bank: Tensor, bank_index: Tensor, temperature: float
) -> Tensor:
    """Return the cross-entropy of each query's own SKU among all SKUs of the bank.

    query [Q, D]; fingerprint [B, D], the batch's SKUs; target [Q], each query's row in ``fingerprint``;
    bank [S, D], every SKU's last known vector, without gradient; bank_index [B], the batch's rows in the bank.
    The batch's own fingerprints replace their bank entries, so gradients reach them as positives and negatives.
    """
    fresh = bank.detach().clone().index_copy(0, bank_index, fingerprint.to(bank.dtype))
    return F.cross_entropy(query @ fresh.T / temperature, bank_index[target])


def supervised_contrastive(x: Tensor, label: Tensor, temperature: float) -> Tensor:
    """Return SupCon (arXiv 2004.11362, eq. 2): mean over anchors and their positives of -log softmax.

    x [N, D] of unit norm; label [N]. Anchors without a positive do not count; 0 when there is none.
    """
    logits = x @ x.T / temperature
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    positive = (label[:, None] == label[None, :]) & ~itself
    log_softmax = logits - logits.masked_fill(itself, float("-inf")).logsumexp(dim=1, keepdim=True)
    anchors = positive.any(dim=1)
    if not anchors.any():
        return x.sum() * 0
    per_anchor = -(log_softmax.masked_fill(~positive, 0).sum(dim=1)) / positive.sum(dim=1).clamp_min(1)
    return per_anchor[anchors].mean()


def info_nce(a: Tensor, b: Tensor, positive: Tensor, scale: Tensor) -> Tensor:
    """Return the symmetric InfoNCE of two sets (CLIP, arXiv 2103.00020, figure 3), for any number of positives.

    a [N, D], b [M, D] of unit norm; positive [N, M] bool, at least one in every row and column; scale multiplies
    cosines. With several positives their log-probabilities are averaged.
    """
    logits = a @ b.T * scale
    rows = (logits.log_softmax(dim=1) * positive).sum(dim=1) / positive.sum(dim=1)
    columns = (logits.log_softmax(dim=0) * positive).sum(dim=0) / positive.sum(dim=0)
    return -(rows.mean() + columns.mean()) / 2
