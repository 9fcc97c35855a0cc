"""Teacher cosine distillation: pull a SKU's fingerprint towards its best view."""

import torch
import torch.nn.functional as F
from torch import Tensor


def teacher_cosine(student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of 1 - cos(student, teacher); 0 where no SKU has weight.

    student, teacher [B, D]; weight [B] >= 0, e.g. the teacher's margin; 0 for SKUs that have none.
    """
    distance = 1 - F.cosine_similarity(student, teacher, dim=-1)
    return (weight * distance).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
