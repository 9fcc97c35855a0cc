"""Bootstrap intervals over SKUs: queries of one SKU are not independent, so SKUs are resampled, not queries."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its percentile interval."""

    mean: float
    low: float
    high: float


def interval(
    values: np.ndarray, sku: np.ndarray, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return the mean over queries of ``values`` [Q] and its interval when SKUs ``sku`` [Q] are resampled.

    For a paired comparison pass the difference of two methods' values on the same queries.
    """
    values = np.asarray(values, float)
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    _, group = np.unique(sku, return_inverse=True)
    sums, counts = np.bincount(group, values), np.bincount(group).astype(float)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for i in range(resamples):
        drawn = rng.integers(0, len(sums), len(sums))
        means[i] = sums[drawn].sum() / counts[drawn].sum()
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high))
