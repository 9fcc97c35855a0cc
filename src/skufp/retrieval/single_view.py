"""Baselines that keep a single view of a SKU: its first view, or the view that ranks best for its queries.

A view chosen with the scored queries is an oracle, which is not available in practice. A view chosen with the other
half of the evaluation queries is a semi-oracle: unbiased for the query, but it needs queries of every gallery SKU.
"""

import numpy as np

from skufp.retrieval.metrics import ranks_in_blocks
from skufp.retrieval.representations import mean_of_views
from skufp.retrieval.teacher import PairScores, best_views, score_pairs, view_scores


def first_view(views: np.ndarray, sku_of_view: np.ndarray) -> np.ndarray:
    """Return [S, D]: each SKU's first view in the table; every SKU has one."""
    _, first = np.unique(sku_of_view, return_index=True)
    return np.asarray(views[first])


def best_view_ranks(
    views: np.ndarray, sku_of_view: np.ndarray, queries: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ranks [Q] of the semi-oracle and of the oracle; ``target`` [Q] is each query's SKU number.

    In both, every gallery SKU is represented by its best view, chosen as a teacher is, or by its mean if it has no
    query. The semi-oracle chooses with one half of every SKU's queries and scores the other half, both ways, so a
    SKU's only query is scored with the mean.
    """
    pairs = score_pairs(views, sku_of_view, queries, target)
    half = halves(target)
    everything = np.ones(len(target), bool)

    def ranks(scored: np.ndarray, used: np.ndarray) -> np.ndarray:
        vectors = chosen_views(views, sku_of_view, pairs, used)
        return ranks_in_blocks(lambda q: q @ vectors.T, queries[scored], target[scored])

    semi = np.zeros(len(target), np.int64)
    for scored in (half == 0, half == 1):
        semi[scored] = ranks(scored, ~scored)
    return semi, ranks(everything, everything)


def chosen_views(views: np.ndarray, sku_of_view: np.ndarray, pairs: PairScores, used: np.ndarray) -> np.ndarray:
    """Return [S, D]: each SKU's best view for those of its queries that are ``used`` [Q] bool, else its mean."""
    vectors = mean_of_views(views, sku_of_view, int(sku_of_view.max()) + 1)
    best = best_views(view_scores(pairs, len(views), used), sku_of_view)
    vectors[sku_of_view[best]] = views[best]
    return vectors


def halves(target: np.ndarray) -> np.ndarray:
    """Assign each SKU's queries to half 0 and half 1 in turn: [Q] SKU numbers -> [Q]."""
    order = np.argsort(target, kind="stable")
    _, starts, counts = np.unique(target[order], return_index=True, return_counts=True)
    half = np.zeros(len(target), np.int64)
    half[order] = (np.arange(len(target)) - np.repeat(starts, counts)) % 2
    return half


def only_query_share(target: np.ndarray) -> float:
    """Return the share of queried SKUs with a single query, for which the semi-oracle cannot choose a view."""
    _, counts = np.unique(target, return_counts=True)
    return float((counts == 1).mean())
