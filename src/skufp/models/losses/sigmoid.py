"""Pairwise sigmoid loss with any number of positives (SigLIP, arXiv 2303.15343, algorithm 1)."""

import torch.nn.functional as F
from torch import Tensor


def sigmoid_loss(
    a: Tensor, b: Tensor, positive: Tensor, scale: Tensor, bias: Tensor, counts: Tensor | None = None
) -> Tensor:
    """Return the mean over rows of ``a`` of the summed log-sigmoid losses of all pairs.

    a [N, D], b [M, D] of unit norm; positive [N, M] bool; scale (the factor itself, not its log) and bias scalars;
    counts [N, M] bool, the pairs that take part: all when None.
    """
    return sigmoid_row_losses(a, b, positive, scale, bias, counts).mean()


def sigmoid_row_losses(
    a: Tensor, b: Tensor, positive: Tensor, scale: Tensor, bias: Tensor, counts: Tensor | None = None
) -> Tensor:
    """Return [N]: the summed log-sigmoid losses of each row's pairs, arguments as in sigmoid_loss."""
    logits = a @ b.T * scale + bias
    sign = positive.to(logits.dtype) * 2 - 1
    agreement = F.logsigmoid(sign * logits)
    return -(agreement if counts is None else agreement * counts).sum(dim=1)
