"""The fingerprint's losses, by their names in the settings (schema.fingerprint.LossWeights).

Legend: B SKUs of the batch, V views, Q queries (at least one), M counterfactuals, D dim, S SKUs of the bank. f is a
SKU's fingerprint, s_j a query's score of SKU j, s_own that of its own SKU. Settings: τ is ``temperature``, m
``margin``, σ_τ the sigmoid at ``rank_temperature``.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from skufp.models.batches import FingerprintBatch
from skufp.models.losses.bank import bank_cross_entropy, upweight
from skufp.models.losses.distill import score_kl, teacher_cosine
from skufp.models.losses.margin import margin_ranking, triplet
from skufp.models.losses.ranking import listnet, recall_at_k, smooth_ap, sup_ap
from skufp.models.matryoshka import prefix

Settings = Mapping[str, Any]  # schema.fingerprint.Loss as plain data


class Compared:
    """Scores of a batch's queries against the bank, in the first ``size`` dimensions.

    ``queries`` [Q, D]; ``scores`` [Q, S] are s. ``ranked`` [Q, S + M] are s and, with ``negatives``, the scores of the
    own SKU's counterfactuals. ``hardened`` are the same, with siblings counted ``sibling_weight`` times in a softmax.
    """

    def __init__(
        self, batch: FingerprintBatch, size: int, bank: Tensor, target: Tensor, siblings: Tensor, settings: Settings
    ) -> None:
        """``bank`` [S, D] includes the batch's fresh fingerprints, ``target`` [Q] long is each query's own row of it.

        ``siblings`` [Q, S] bool are the other styles of the query's pair.
        """
        self.batch, self.size, self.target, self.settings = batch, size, target, settings
        self.queries = prefix(batch["queries"], size)
        self.scores = self.queries @ bank.T
        self.hardened = upweight(self.scores, siblings, settings["sibling_weight"], settings["temperature"])
        self.ranked = self.scores
        if settings["negatives"]:
            distractors = counterfactual_scores(self.queries, batch, size)
            self.hardened = torch.cat([self.hardened, distractors], dim=1)
            self.ranked = torch.cat([self.scores, distractors], dim=1)

    @cached_property
    def multi_vector(self) -> Tensor:
        """[Q, S]: s with the batch's SKUs scored by their best view; see multi_vector_scores."""
        return multi_vector_scores(self.scores, self.queries, self.batch, self.size)


def distill(batch: FingerprintBatch, fingerprint: Tensor, size: int) -> Tensor:
    """1 - cos(f, v), v the SKU's best view: embedding distillation, as FitNets (arXiv 1412.6550) with a cosine.

    A mean weighted by the teacher's margin; 0 without teachers. The only loss that needs no query.
    """
    return teacher_cosine(fingerprint, prefix(batch["teacher"], size), batch["teacher_weight"])


def _contrastive(c: Compared) -> Tensor:
    """-log exp(s_own / τ) / Σ_j exp(s_j / τ): InfoNCE (arXiv 1807.03748, eq. 4), the whole bank as negatives."""
    return bank_cross_entropy(c.hardened, c.target, c.settings["temperature"])


def _teacher_kl(c: Compared) -> Tensor:
    """KL(softmax(t / τ) || softmax(s / τ)), t as s but s_own of the best view: Hinton et al., arXiv 1503.02531."""
    teacher = teacher_scores(c.scores, c.queries, c.target, prefix(c.batch["query_teacher"], c.size))
    return score_kl(c.scores, teacher, c.settings["temperature"], c.batch["query_teacher_weight"])


def _multi_vector_kl(c: Compared) -> Tensor:
    """KL(softmax(t / τ) || softmax(s / τ)), t the batch's SKUs by their best view: arXiv 1503.02531, section 2."""
    return score_kl(c.scores, c.multi_vector, c.settings["temperature"])


def _margin(c: Compared) -> Tensor:
    """[m + s_j - s_own]₊, the mean of those above 0 ("batch all ≠ 0" of arXiv 1703.07737)."""
    return margin_ranking(c.ranked, c.target, c.settings["margin"])


def _triplet(c: Compared) -> Tensor:
    """[m + max_j s_j - s_own]₊ ("batch hard", arXiv 1703.07737, eq. 5)."""
    return triplet(c.ranked, c.target, c.settings["margin"])


def _smooth_ap(c: Compared) -> Tensor:
    """1 - 1 / (1 + Σ_j σ_τ(s_j - s_own)): Smooth-AP (arXiv 2007.12163) with one relevant SKU."""
    return smooth_ap(c.ranked, c.target, c.settings["rank_temperature"])


def _sup_ap(c: Compared) -> Tensor:
    """1 - 1 / (1 + Σ_j H(s_j - s_own)), H above the step function: SupAP (ROADMAP, arXiv 2110.01445, section 3.1)."""
    return sup_ap(c.ranked, c.target, c.settings["rank_temperature"])


def _recall_at_k(c: Compared) -> Tensor:
    """1 - a smooth recall@k, the mean over k = 1, 5, 10 (arXiv 2108.11179)."""
    return recall_at_k(c.ranked, c.target, (1, 5, 10), c.settings["rank_temperature"])


def _listnet(c: Compared) -> Tensor:
    """-Σ_j P_t(j) log P_s(j), P top-one probabilities: ListNet (Cao et al. 2007, eq. 3), t as _multi_vector_kl's."""
    return listnet(c.scores, c.multi_vector, c.settings["rank_temperature"])


OF_QUERIES: dict[str, Callable[[Compared], Tensor]] = {
    "contrastive": _contrastive,
    "teacher_kl": _teacher_kl,
    "multi_vector_kl": _multi_vector_kl,
    "margin": _margin,
    "triplet": _triplet,
    "smooth_ap": _smooth_ap,
    "sup_ap": _sup_ap,
    "recall_at_k": _recall_at_k,
    "listnet": _listnet,
}


def teacher_scores(scores: Tensor, queries: Tensor, target: Tensor, teacher: Tensor) -> Tensor:
    """Return ``scores`` [Q, S] with each query's own SKU scored by its teacher view, ``teacher`` [Q, D]."""
    own = (queries * teacher).sum(dim=1, keepdim=True).to(scores.dtype)
    return scores.detach().scatter(1, target[:, None], own)


def multi_vector_scores(scores: Tensor, queries: Tensor, batch: FingerprintBatch, size: int) -> Tensor:
    """Return ``scores`` [Q, S] with the batch's SKUs scored by their most similar view."""
    similar = torch.einsum("qd,bvd->qbv", queries, prefix(batch["views"], size).to(queries.dtype))
    best = similar.masked_fill(~batch["all_views"][None], float("-inf")).amax(dim=2)
    return scores.detach().index_copy(1, batch["bank_index"], best.to(scores.dtype))


def counterfactual_scores(queries: Tensor, batch: FingerprintBatch, size: int) -> Tensor:
    """Return [Q, M]: each query against the counterfactuals of its own SKU; -inf against those of other SKUs.

    A counterfactual shows its SKU with attributes of another SKU. It may be a positive for queries of that other SKU,
    so it is a negative only for queries of its own SKU.
    """
    scores = queries @ prefix(batch["negatives"], size).to(queries.dtype).T
    others = batch["query_target"][:, None] != batch["negative_target"][None, :]
    return scores.masked_fill(others, float("-inf"))
