"""Rank-supervised teacher selection: which single view of a SKU would answer its queries best."""

from dataclasses import dataclass

import numpy as np

from skufp.retrieval.representations import mean_of_views

BLOCK = 128


@dataclass
class ViewScores:
    """How well each of N views represents its SKU, over the queries of that SKU that were given.

    All [N]; NaN where the view's SKU has no query. ``margin`` is the mean of (the view's score minus the best
    wrong SKU's).
    """

    queries: np.ndarray
    rank: np.ndarray
    reciprocal_rank: np.ndarray
    recall_at_1: np.ndarray
    margin: np.ndarray


def score_views(
    views: np.ndarray, sku_of_view: np.ndarray, queries: np.ndarray, sku_of_query: np.ndarray
) -> ViewScores:
    """Rank every query with each single view of its SKU standing for that SKU; all others stand as their means.

    views [N, D] and queries [Q, D] of unit norm, SKU numbers [N] and [Q]. Works in blocks of queries, so memory
    stays at BLOCK x views of a SKU x SKUs.
    """
    skus = int(sku_of_view.max()) + 1
    means = mean_of_views(views, sku_of_view, skus)
    order = np.argsort(sku_of_view, kind="stable")
    starts = np.searchsorted(sku_of_view[order], np.arange(skus + 1))
    totals = np.zeros((len(views), 5))
    for begin in range(0, len(queries), BLOCK):
        q, sku = queries[begin : begin + BLOCK], sku_of_query[begin : begin + BLOCK]
        pair_query, pair_view = _pairs(starts, order, sku)
        scores = q @ means.T
        scores[np.arange(len(q)), sku] = -np.inf  # its own SKU is represented by the single view instead
        best_wrong = np.maximum(scores.max(axis=1), -1.0)  # no other SKU: the lowest a cosine can be
        own = np.einsum("pd,pd->p", q[pair_query], views[pair_view])
        rank = 1 + (~(scores[pair_query] < own[:, None])).sum(axis=1)
        margin = own - best_wrong[pair_query]
        measured = np.stack([np.ones_like(rank), rank, 1 / rank, rank <= 1, margin], axis=1)
        np.add.at(totals, pair_view, measured)
    count = totals[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        rank, reciprocal, recall, margin = np.where(count > 0, totals[:, 1:].T / count, np.nan)
    return ViewScores(count, rank, reciprocal, recall, margin)


def _pairs(starts: np.ndarray, order: np.ndarray, sku: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, view) index pairs: every query with every view of its SKU."""
    counts = starts[sku + 1] - starts[sku]
    query = np.repeat(np.arange(len(sku)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return query, order[np.repeat(starts[sku], counts) + within]


def best_views(scores: ViewScores, sku_of_view: np.ndarray) -> np.ndarray:
    """Return [N] bool: the best view of each SKU that has queries, by reciprocal rank, then by margin."""
    best = np.zeros(len(sku_of_view), bool)
    keys = np.lexsort((-scores.margin, -scores.reciprocal_rank, sku_of_view))
    keys = keys[scores.queries[keys] > 0]
    _, first = np.unique(sku_of_view[keys], return_index=True)
    best[keys[first]] = True
    return best
