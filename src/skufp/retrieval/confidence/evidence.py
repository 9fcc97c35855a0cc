"""What the scores of one search say about its answer, independent of the catalogue's size.

Legend: Q queries, K ranked SKUs of a query, S SKUs, R reference SKUs, F features.
"""

import numpy as np

FEATURES = ("score", "margin", "z_score", "z_margin")
NEIGHBOURS = 20  # ranked SKUs that are looked at
REFERENCE = 256  # SKUs whose scores say how scores are distributed in this gallery


def evidence(scores: np.ndarray, ids: np.ndarray, design: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return [Q, F], one row of FEATURES for every query; NaN where nothing was found.

    ``scores`` and ``ids`` [Q, K] are the ranked SKUs of each query, best first, -inf and -1 where there are fewer.
    ``design`` [S] is equal for SKUs that differ in colour alone. ``reference`` [Q, R] are each query's scores against a
    sample of the gallery, NaN for those to leave out.

    - score: the first answer's score.
    - margin: that score minus the best score of another design; a sibling colour does not count.
    - z_score and z_margin: the same in standard deviations of the reference, the score from its mean. The maximum of N
      scores grows with N, their mean and standard deviation do not.

    Where no other design is among the K, the last score found stands for it, and with one SKU the reference's mean.
    """
    found = ids >= 0
    first = design[np.where(found[:, 0], ids[:, 0], 0)]
    other = found & (design[np.where(found, ids, 0)] != first[:, None])
    mean, deviation = np.nanmean(reference, axis=1), np.maximum(np.nanstd(reference, axis=1), 1e-6)
    top = np.where(found[:, 0], scores[:, 0], np.nan)
    last = np.where(found, scores, np.inf).min(axis=1)
    runner_up = np.where(found.sum(axis=1) > 1, last, mean)
    runner_up = np.where(other.any(axis=1), np.where(other, scores, -np.inf).max(axis=1), runner_up)
    margin = top - runner_up
    return np.stack([top, margin, (top - mean) / deviation, margin / deviation], axis=1).astype(np.float64)


def without(scores: np.ndarray, ids: np.ndarray, removed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rankings [Q, K] as if the ``removed`` [Q, K] answers were not in the gallery.

    The rest moves up, and places at the end become -inf and -1.
    """
    gone = (ids < 0) | removed
    order = np.argsort(gone, axis=1, kind="stable")
    gone, scores, ids = (np.take_along_axis(a, order, axis=1) for a in (gone, scores, ids))
    return np.where(gone, -np.inf, scores), np.where(gone, -1, ids)


def reference_rows(skus: int, size: int = REFERENCE) -> np.ndarray:
    """Return the numbers of at most ``size`` of ``skus`` SKUs, always the same ones."""
    if skus <= size:
        return np.arange(skus)
    return np.sort(np.random.default_rng(0).choice(skus, size, replace=False))
