"""Ranking metrics from ranks: one relevant SKU per query, or any number of relevant items.

Ranks start at 1. Ties count against the target: a wrong candidate with an equal score ranks before it, so that
constant scores never look good; NaN ranks last.
"""

from collections.abc import Callable

import numpy as np

CUTOFFS = (1, 5, 10, 20)
ROUNDING = 1e-6  # scores nearer than this are equal: products of the same vectors differ so much between libraries
BLOCK = 256  # queries ranked at a time; their scores of all vectors take the memory


def ranks_of_target(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the rank [Q] of each query's target column in ``scores`` [Q, S]."""
    own = np.take_along_axis(scores, target[:, None], axis=1)
    return (~(scores < own - ROUNDING)).sum(axis=1)


def ranks_in_blocks(
    score: Callable[[np.ndarray], np.ndarray], queries: np.ndarray, target: np.ndarray, block: int = BLOCK
) -> np.ndarray:
    """Return the rank [Q] of each query's target; ``score`` gives [B, S] for a block of ``queries`` [B, D]."""
    ranks = np.zeros(len(queries), np.int64)
    for start in range(0, len(queries), block):
        part = slice(start, start + block)
        ranks[part] = ranks_of_target(score(queries[part]), target[part])
    return ranks


def max_per_sku(item_scores: np.ndarray, sku_of_item: np.ndarray, skus: int) -> np.ndarray:
    """Return [Q, S]: each SKU's best item score; -inf for a SKU without items. ``item_scores`` is [Q, N]."""
    best = np.full((len(item_scores), skus), -np.inf, item_scores.dtype)
    order = np.argsort(sku_of_item, kind="stable")
    present, starts = np.unique(sku_of_item[order], return_index=True)
    if len(present):
        best[:, present] = np.maximum.reduceat(item_scores[:, order], starts, axis=1)
    return best


def per_query(ranks: np.ndarray) -> dict[str, np.ndarray]:
    """Return each query's own value of every metric, for one relevant SKU per query (then mAP = MRR)."""
    ranks = np.asarray(ranks, float)
    values = {f"recall@{k}": (ranks <= k).astype(float) for k in CUTOFFS}
    values["map"] = 1 / ranks
    values["mrr"] = 1 / ranks
    values["ndcg@10"] = np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0)
    return values


def summarise(ranks: np.ndarray) -> dict[str, float]:
    """Return the means of per_query; empty for no queries."""
    return {name: float(v.mean()) for name, v in per_query(ranks).items()} if len(ranks) else {}


def item_hits(item_scores: np.ndarray, relevant: np.ndarray) -> dict[str, np.ndarray]:
    """Return the official item-level hit@k of each query: any of the top-k gallery items is relevant.

    item_scores [Q, N]; relevant [Q, N] bool. A relevant item whose score is NaN is not found; an irrelevant item whose
    score is NaN ranks first. Source: DeepFashion2's evaluation notes for retrieval.
    """
    usable = relevant & ~np.isnan(item_scores)
    best = np.where(usable, item_scores, -np.inf).max(axis=1, keepdims=True)
    rank = (~(item_scores < best) & ~relevant).sum(axis=1) + 1
    found = usable.any(axis=1)
    return {f"item_hit@{k}": ((rank <= k) & found).astype(float) for k in CUTOFFS}
