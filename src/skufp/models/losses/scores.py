"""Operations on a matrix of scores that the losses share.

Legend: Q queries (at least one), S SKUs of the bank; ``target`` [Q] long, the column of each query's own SKU.
"""

import torch
from torch import Tensor


def full_precision(scores: Tensor) -> Tensor:
    """Return ``scores`` in float32 at least: half precision cannot hold small temperatures and sums over a bank."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def leads(scores: Tensor, target: Tensor) -> Tensor:
    """Return each wrong SKU's score less the query's own SKU's score, [Q, S]; -inf in the own column."""
    scores, column = full_precision(scores), target[:, None]
    return (scores - scores.gather(1, column)).scatter(1, column, float("-inf"))
