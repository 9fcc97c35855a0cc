"""Rank-supervised teacher selection: the single view of a SKU that ranks best for its queries.

Legend: N views, Q queries, S SKUs, D dim, P pairs (every query with every view of its SKU), B queries of a block,
K columns of a block (the mean of a SKU's views, then its views), T SKUs of a tile.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skufp.retrieval.metrics import ROUNDING
from skufp.retrieval.representations import mean_of_views

if TYPE_CHECKING:
    from torch import Tensor

MEMORY, BLOCK = 128 << 20, 4096


@dataclass(frozen=True)
class PairScores:
    """Ranks of every query with every single view representing its SKU; pairs in order of query, then of view.

    ``query`` and ``view`` [P] are row numbers; ``rank`` [P] is the SKU's rank (1 is best) with that view representing
    it; ``margin`` [P] is that view's score minus the best wrong SKU's. ``rank_of_mean`` [Q] is the rank with the mean
    of views.
    """

    query: np.ndarray
    view: np.ndarray
    rank: np.ndarray
    margin: np.ndarray
    rank_of_mean: np.ndarray

    def rank_with(self, view: np.ndarray) -> np.ndarray:
        """Return [Q]: each query's rank with view ``view`` [Q] representing its SKU; -1 means the mean."""
        ranks = self.rank_of_mean.copy()
        chosen = self.view == view[self.query]
        ranks[self.query[chosen]] = self.rank[chosen]
        return ranks


@dataclass(frozen=True)
class ViewScores:
    """Scores of N views as representations of their SKUs: means over the given queries of the SKU.

    All [N]; NaN where the view's SKU has no query, except ``queries``, the number of queries.
    """

    queries: np.ndarray
    rank: np.ndarray
    reciprocal_rank: np.ndarray
    recall_at_1: np.ndarray
    recall_at_5: np.ndarray
    recall_at_10: np.ndarray
    margin: np.ndarray


def score_pairs(
    views: np.ndarray, sku_of_view: np.ndarray, queries: np.ndarray, sku_of_query: np.ndarray,
    device: Any = "cpu", memory: int = MEMORY,
) -> PairScores:  # fmt: skip
    """Rank every query with each single view representing its SKU; other SKUs are represented by their means.

    views [N, D] and queries [Q, D] of unit norm, SKU numbers [N] and [Q]. Ties count against the view. Besides the
    means and a few numbers per pair, temporary arrays stay below ``memory`` bytes for any N, Q and S (as long as one
    query fits).
    """
    import torch

    views, queries = np.asarray(views, np.float32), np.asarray(queries, np.float32)
    skus = int(sku_of_view.max(initial=-1)) + 1
    means = torch.from_numpy(mean_of_views(views, sku_of_view, skus)).to(device)
    counts = np.bincount(sku_of_view, minlength=skus)[sku_of_query]
    first = np.cumsum(counts) - counts  # each query's first pair
    query, view = _pairs(sku_of_view, sku_of_query, counts, first)
    rank, margin = np.empty(len(query), np.int64), np.empty(len(query), np.float32)
    rank_of_mean = np.empty(len(queries), np.int64)
    block, tile = block_sizes(memory, views.shape[1], counts.max(initial=0) + 1)
    turn = np.argsort(-counts, kind="stable")  # most views first: those with a k-th view lead their block
    for begin in range(0, len(queries), block):
        part = turn[begin : begin + block]
        query_block = torch.from_numpy(queries[part]).to(device)
        target = torch.from_numpy(sku_of_query[part]).to(device)
        pairs = [first[part[counts[part] > k]] + k for k in range(counts[part[0]])]
        columns = [len(part), *map(len, pairs)]
        own = torch.zeros(len(part), len(columns), device=device)
        own[:, 0] = (query_block * means[target]).sum(dim=1)
        for k, pair in enumerate(pairs, 1):
            own[: len(pair), k] = (query_block[: len(pair)] * torch.from_numpy(views[view[pair]]).to(device)).sum(dim=1)
        ranks, margins = rank_in_tiles(query_block, target, own, columns, means, tile)
        rank_of_mean[part] = ranks[:, 0]
        for k, pair in enumerate(pairs, 1):
            rank[pair], margin[pair] = ranks[: len(pair), k], margins[: len(pair), k]
    return PairScores(query, view, rank, margin, rank_of_mean)


def _pairs(
    sku_of_view: np.ndarray, sku_of_query: np.ndarray, counts: np.ndarray, first: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, view) [P]: every query with every view of its SKU, of which it has ``counts`` [Q]."""
    order = np.argsort(sku_of_view, kind="stable")
    starts = np.searchsorted(sku_of_view[order], sku_of_query)
    query = np.repeat(np.arange(len(sku_of_query)), counts)
    return query, order[starts[query] + np.arange(len(query)) - first[query]]


def block_sizes(memory: int, dim: int, columns: int) -> tuple[int, int]:
    """Return the number of queries per block and of SKUs per tile.

    Half the bytes are for a block's vectors (query, view and their product) and its scores, counts, ranks and margins,
    half for the scores of a tile and their comparison; 4 bytes per number.
    """
    block = min(BLOCK, max(1, memory // 2 // (4 * (3 * dim + 6 * columns))))
    return block, max(1, memory // 2 // (8 * block))


def rank_in_tiles(
    queries: "Tensor", target: "Tensor", own: "Tensor", columns: list[int], means: "Tensor", tile: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return rank and margin [B, K] of the scores ``own`` [B, K] among the other SKUs' means, tile by tile.

    Only the first ``columns[k]`` rows of column k are filled. Counting "below" rather than "at least" lets a NaN
    rank last; it is summed as floats, exact up to 2^24 SKUs, which is several times faster than summing booleans.
    """
    import torch

    below = torch.zeros_like(own)
    best_wrong = torch.full_like(own[:, 0], -1.0)  # the lowest cosine, for a gallery without other SKUs
    for start in range(0, len(means), tile):
        scores = queries @ means[start : start + tile].T
        here = torch.nonzero((target >= start) & (target < start + tile)).squeeze(1)
        scores[here, target[here] - start] = -torch.inf  # its own SKU is represented by the single view instead
        best_wrong = torch.maximum(best_wrong, scores.amax(dim=1))
        smaller = torch.empty_like(scores)
        for k, n in enumerate(columns):
            below[:n, k] += torch.lt(scores[:n], own[:n, k, None] - ROUNDING, out=smaller[:n]).sum(dim=1)
        del scores, smaller  # free memory before the next tile
    rank = (len(means) + 1 - below).clamp(max=len(means))  # the own SKU's -inf is one of those below
    return rank.long().cpu().numpy(), (own - best_wrong[:, None]).cpu().numpy()


def view_scores(pairs: PairScores, views: int, used: np.ndarray) -> ViewScores:
    """Return the means over the queries ``used`` [Q] bool, for ``views`` views."""
    keep = used[pairs.query]
    view, rank = pairs.view[keep], pairs.rank[keep]
    queries = np.bincount(view, minlength=views)

    def mean(values: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: no query
            return np.bincount(view, values, minlength=views) / queries

    at_1, at_5, at_10 = (mean(rank <= k) for k in (1, 5, 10))
    return ViewScores(queries, mean(rank), mean(1 / rank), at_1, at_5, at_10, mean(pairs.margin[keep]))


def best_views(scores: ViewScores, sku_of_view: np.ndarray) -> np.ndarray:
    """Return [N] bool: the best view of each SKU that has queries, by reciprocal rank, then by margin."""
    reciprocal = np.round(scores.reciprocal_rank, 9)  # sums of the same ranks in another order must tie
    return _first_of_sku(sku_of_view, scores.queries > 0, (-scores.margin, -reciprocal))


def random_views(scores: ViewScores, sku_of_view: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Return [N] bool: of each SKU that has queries, the view with the lowest of the random numbers ``draw`` [N]."""
    return _first_of_sku(sku_of_view, scores.queries > 0, (draw,))


def _first_of_sku(sku_of_view: np.ndarray, eligible: np.ndarray, keys: tuple[np.ndarray, ...]) -> np.ndarray:
    """Mark each SKU's eligible view with the lowest keys; the last key is the primary key."""
    order = np.lexsort((*keys, sku_of_view))
    order = order[eligible[order]]
    _, first = np.unique(sku_of_view[order], return_index=True)
    chosen = np.zeros(len(sku_of_view), bool)
    chosen[order[first]] = True
    return chosen
