"""The SKU bank: fresh vectors of the batch, hard negatives, and the cross-entropy over the bank.

Legend: B SKUs of the batch, S SKUs of the bank, Q queries (at least one), D dim. ``scores`` [Q, S] = queries @ bank.T;
``target`` [Q] long, the column of each query's own SKU.
"""

import math

import torch.nn.functional as F
from torch import Tensor

from skufp.models.losses.scores import full_precision


def fresh_bank(bank: Tensor, bank_index: Tensor, fingerprint: Tensor) -> Tensor:
    """Return the bank [S, D] with the batch's own rows replaced, so that positives and negatives have gradients.

    bank [S, D] holds every SKU's latest vector; it gets no gradient and is not modified. bank_index [B] are the batch's
    rows, all different; fingerprint [B, D].
    """
    return bank.detach().index_copy(0, bank_index, fingerprint.to(bank.dtype))


def upweight(scores: Tensor, hard: Tensor, factor: float, temperature: float) -> Tensor:
    """Return scores [Q, S] in which each hard negative counts ``factor`` times in a softmax at ``temperature``.

    hard [Q, S] bool, e.g. the same pair in another style; never the query's own SKU. factor > 0: 1 changes nothing.
    exp((s + temperature · log factor) / temperature) = factor · exp(s / temperature). In losses without a softmax, the
    scores of hard negatives are raised by temperature · log factor.
    """
    scores = full_precision(scores)
    return scores + temperature * math.log(factor) * hard.to(scores.dtype)


def bank_cross_entropy(scores: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy of each query's own SKU among all SKUs of the bank.

    InfoNCE (arXiv 1807.03748, eq. 4) with the whole bank as negatives.
    """
    return F.cross_entropy(full_precision(scores) / temperature, target)
