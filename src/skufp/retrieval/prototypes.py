"""Two prototypes per SKU: spherical 2-means of its views, between one mean and every view."""

import numpy as np

from skufp.retrieval.representations import normalise
from skufp.retrieval.sku_blocks import sku_blocks

ROUNDS = 20


def two_prototypes(views: np.ndarray, sku_of_view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (prototypes [P, D], sku_of_prototype [P]): two per SKU, one for a SKU with a single view.

    Spherical k-means (Dhillon & Modha, 2001) of unit-norm ``views`` [N, D], from each SKU's least similar pair of
    views, so that nothing is drawn at random.
    """
    vectors, owners = [], []
    for skus, rows in sku_blocks(sku_of_view):
        own = np.asarray(views[rows], np.float32)
        vectors.append(own if own.shape[1] == 1 else _two_means(own))
        owners.append(np.repeat(skus, vectors[-1].shape[1]))
    return np.concatenate([v.reshape(-1, views.shape[1]) for v in vectors]), np.concatenate(owners)


def _two_means(views: np.ndarray) -> np.ndarray:
    """[B, V, D] -> [B, 2, D]."""
    count = views.shape[1]
    similarity = np.einsum("bvd,bwd->bvw", views, views, optimize=True).reshape(len(views), -1)
    start = np.stack(np.divmod(similarity.argmin(axis=1), count), axis=1)
    centres = np.take_along_axis(views, start[:, :, None], axis=1)
    nearest = np.full(views.shape[:2], -1)
    for _ in range(ROUNDS):
        before, nearest = nearest, (views @ centres.transpose(0, 2, 1)).argmax(axis=2)
        if (before == nearest).all():
            break
        belongs = (nearest[:, None, :] == np.arange(2)[:, None]).astype(views.dtype)  # [B, 2, V]
        means = normalise(belongs @ views)
        centres = np.where(belongs.any(axis=2, keepdims=True), means, centres)  # equal views leave one centre empty
    return centres
