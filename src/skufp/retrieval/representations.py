"""Scores of queries against SKUs on one gallery, for the baselines of every table."""

from typing import Any

import numpy as np

from skufp.retrieval.metrics import max_per_sku
from skufp.retrieval.sku_blocks import sku_blocks


def normalise(x: np.ndarray) -> np.ndarray:
    """Return the rows of ``x`` with unit norm (rows of zeros stay zero)."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def mean_of_views(views: np.ndarray, sku_of_view: np.ndarray, skus: int) -> np.ndarray:
    """Return [S, D]: the normalised mean of each SKU's views [N, D]."""
    order = np.argsort(sku_of_view, kind="stable")
    counts = np.bincount(sku_of_view, minlength=skus)
    starts = np.cumsum(counts) - counts
    sums = np.zeros((skus, views.shape[1]), np.float64)
    for k in range(counts.max(initial=0)):  # every SKU's k-th view at once, to avoid a float64 copy of all views
        own = np.flatnonzero(counts > k)
        sums[own] += views[order[starts[own] + k]]
    return normalise(sums).astype(np.float32)


def multi_vector_scores(queries: np.ndarray, views: np.ndarray, sku_of_view: np.ndarray, skus: int) -> np.ndarray:
    """Return [Q, S]: the similarity of each SKU's most similar view."""
    return max_per_sku(queries @ np.asarray(views).T, sku_of_view, skus)


def aggregate(module: Any, views: np.ndarray, sku_of_view: np.ndarray, skus: int) -> np.ndarray:
    """Return [S, D]: ``module`` (an aggregator of skufp.models) applied on the CPU to each SKU's views [N, D].

    Its metadata are zeros, so use it only for aggregators without metadata.
    """
    import torch

    vectors = np.zeros((skus, views.shape[1]), np.float32)
    with torch.inference_mode():
        for own, rows in sku_blocks(sku_of_view):
            mask, meta = torch.ones(rows.shape, dtype=torch.bool), torch.zeros((*rows.shape, 4), dtype=torch.long)
            vectors[own] = module(torch.from_numpy(np.asarray(views[rows], np.float32)), mask, meta).numpy()
    return vectors
