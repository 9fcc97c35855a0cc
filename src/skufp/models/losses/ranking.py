"""Ranking losses: smooth forms of the rank of each query's own SKU, and ListNet.

Legend: Q queries (at least one), S SKUs of the bank; ``scores`` [Q, S]; ``target`` [Q] long, the column of each
query's own SKU, the only relevant one. s_own and s_j are scores of the own and of a wrong SKU j, σ is the sigmoid;
temperatures are in units of the scores unless noted. A bank without wrong SKUs costs 0.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from skufp.models.losses.scores import full_precision, leads


def smooth_rank(scores: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return 1 + Σ_j σ((s_j - s_own) / temperature), [Q]: the rank of the own SKU as temperature goes to 0."""
    return 1 + (leads(scores, target) / temperature).sigmoid().sum(dim=1)


def smooth_ap(scores: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return 1 - Smooth-AP (arXiv 2007.12163), the mean over queries.

    With one relevant SKU the average precision is the reciprocal rank: 1 - 1 / smooth_rank. The paper's temperature
    is 0.01.
    """
    return (1 - 1 / smooth_rank(scores, target, temperature)).mean()


def sup_ap(scores: Tensor, target: Tensor, temperature: float, slope: float = 100.0) -> Tensor:
    """Return SupAP (ROADMAP, arXiv 2110.01445, section 3.1), the mean over queries: an upper bound of 1 - AP.

    With one relevant SKU the rank among positives is 1, and the loss is 1 - 1 / (1 + Σ_j H(s_j - s_own)), where
    H(t) = σ(t / τ) for t < 0, σ(t / τ) + 1/2 for 0 <= t <= δ, slope · (t - δ) + σ(δ / τ) + 1/2 beyond. H is nowhere
    below the step function (a tie counts in full). Unlike a sigmoid it has a gradient where a wrong SKU is far ahead.
    τ is ``temperature``, δ = 5 τ; slope is in ranks per unit of score. The paper has τ 0.01, δ 0.05, slope 100.
    """
    lead, knee = leads(scores, target), 5 * temperature
    step = (lead.clamp_max(knee) / temperature).sigmoid() + 0.5 * (lead >= 0)
    rank = 1 + (step + slope * (lead - knee).relu()).sum(dim=1)
    return (1 - 1 / rank).mean()


def recall_at_k(
    scores: Tensor, target: Tensor, ks: Sequence[int], rank_temperature: float, recall_temperature: float = 1.0
) -> Tensor:
    """Return 1 - a smooth recall@k, the mean over ``ks`` and queries (arXiv 2108.11179).

    The paper's hit is σ((k - smooth_rank) / recall_temperature), where recall_temperature, in ranks, is 1 and
    rank_temperature 0.01. Two changes: the step lies at k + 1/2, so that rank k counts in full as recall_temperature
    goes to 0; and a hit is relative to that of rank 1, so that a perfect ranking costs 0.
    """
    rank = smooth_rank(scores, target, rank_temperature)
    edge = rank.new_tensor(list(ks)) + 0.5
    hit = ((edge - rank[:, None]) / recall_temperature).sigmoid()
    return 1 - (hit / ((edge - 1) / recall_temperature).sigmoid()).mean()


def listnet(scores: Tensor, relevance: Tensor, temperature: float) -> Tensor:
    """Return ListNet (Cao et al. 2007, "Learning to rank: from pairwise approach to listwise approach", eq. 3).

    The cross-entropy between the top-one probabilities of ``relevance`` and of ``scores``, both [Q, S] and both turned
    into probabilities by the paper's φ(x), here exp(x / temperature); the mean over queries. Relevance, in units of the
    scores and without gradient, may be the scores of a better ranker, or grades: 1 for the own SKU, less for siblings,
    0 for the rest (with a temperature well below 1 / log S, or the rest outweighs the own SKU).
    """
    scores = full_precision(scores)
    wanted = (relevance.detach().to(scores.dtype) / temperature).softmax(dim=1)
    return F.cross_entropy(scores / temperature, wanted)
