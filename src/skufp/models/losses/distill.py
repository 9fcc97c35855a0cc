"""Distillation: pull a SKU's fingerprint towards its best view, or its scores towards a teacher's.

Legend: B SKUs of the batch, Q queries, S SKUs of the bank, D dim.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from skufp.models.losses.scores import full_precision


def teacher_cosine(student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of 1 - cos(student, teacher); 0 if all weights are 0.

    student, teacher [B, D]; weight [B] >= 0, e.g. the teacher's margin; 0 for SKUs without a teacher.
    """
    return _weighted_mean(1 - F.cosine_similarity(student, teacher, dim=-1), weight)


def score_kl(student: Tensor, teacher: Tensor, temperature: float, weight: Tensor | None = None) -> Tensor:
    """Return the weighted mean over queries of KL(teacher || student); 0 if all weights are 0.

    student, teacher [Q, S], scores of the bank, turned into probabilities by a softmax at ``temperature``; the teacher
    gets no gradient. weight [Q] >= 0; uniform when None. Hinton et al. 2015, arXiv 1503.02531, section 2, without its
    factor temperature²: the temperature is the unit of the scores here, not a softening to undo.
    """
    student = full_precision(student)
    wanted = (teacher.detach().to(student.dtype) / temperature).softmax(dim=1)
    divergence = F.kl_div((student / temperature).log_softmax(dim=1), wanted, reduction="none").sum(dim=1)
    return divergence.mean() if weight is None else _weighted_mean(divergence, weight)


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    total = weight.sum()
    return (weight * values).sum() / torch.where(total > 0, total, 1)  # a tiny divisor would overflow the gradient
