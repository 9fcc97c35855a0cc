"""Matryoshka vectors: the first dimensions of a vector are an embedding themselves (arXiv 2205.13147)."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


def prefix(x: Tensor, dims: int) -> Tensor:
    """Return the first ``dims`` dimensions of vectors [..., D], with unit norm again: [..., min(dims, D)]."""
    return F.normalize(x[..., :dims], dim=-1)


def prefix_sizes(dim: int, smaller: Iterable[int]) -> list[int]:
    """Return the sizes to train: ``dim`` itself first, then every one of ``smaller`` below it."""
    return [dim, *sorted({d for d in smaller if 0 < d < dim}, reverse=True)]


def mean_over_sizes(losses: Iterable[Tensor]) -> Tensor:
    """Return the plain mean of one loss at every size, as in the paper's equation 1 with equal weights."""
    return torch.stack(list(losses)).mean()
