"""Ways to score a query against a SKU, on one gallery: the baselines every table shows."""

import numpy as np

from skufp.retrieval.metrics import max_per_sku


def normalise(x: np.ndarray) -> np.ndarray:
    """Return the rows of ``x`` with unit norm (rows of zeros stay zero)."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def mean_of_views(views: np.ndarray, sku_of_view: np.ndarray, skus: int) -> np.ndarray:
    """Return [S, D]: the normalised mean of each SKU's views [N, D]."""
    sums = np.zeros((skus, views.shape[1]), np.float64)
    np.add.at(sums, sku_of_view, np.asarray(views, np.float64))
    return normalise(sums).astype(np.float32)


def multi_vector_scores(queries: np.ndarray, views: np.ndarray, sku_of_view: np.ndarray, skus: int) -> np.ndarray:
    """Return [Q, S]: the similarity of each SKU's most similar view."""
    return max_per_sku(queries @ np.asarray(views).T, sku_of_view, skus)
