"""Encode a large batch in parts, with the memory of one part and the gradients of the whole batch."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Items = TypeVar("Items", Tensor, list[str])


def encode_in_parts(encode: Callable[[Items], Tensor], items: Items, size: int | None) -> Tensor:
    """Return ``encode(items)``, [N, D], computed ``size`` items at a time; all at once when ``size`` is None.

    The forward pass keeps only the vectors. The backward pass encodes each part again, with the same random numbers,
    and so holds the activations of one part at a time. Source: GradCache, arXiv 2101.06983, section 3.2; here the
    second pass is PyTorch's activation checkpointing.
    """
    if size is None or len(items) <= size or not torch.is_grad_enabled():
        return encode(items)
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    return torch.cat([checkpoint(encode, part, use_reentrant=False) for part in parts])
