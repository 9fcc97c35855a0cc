"""Bootstrap intervals over SKUs: queries of one SKU are not independent, so SKUs are resampled, not queries."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean with its percentile interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, resampled: np.ndarray, level: float = 0.95) -> "Interval":
        """Make an interval from ``resampled`` [1 + R]: the figure, then its resamples; NaN resamples are left out."""
        if np.isnan(resampled[1:]).all():
            return cls(float(resampled[0]), float("nan"), float("nan"))
        tail = (1 - level) / 2
        low, high = np.nanquantile(resampled[1:], [tail, 1 - tail])
        return cls(float(resampled[0]), float(low), float(high))


def resampled_means(values: np.ndarray, sku: np.ndarray, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Return [1 + R, M]: the means over queries of ``values`` [Q, M], then those of each of R resamples of SKUs.

    ``sku`` [Q] is each query's SKU. All columns share the resamples, so differences and ratios of columns are paired.
    """
    _, group = np.unique(sku, return_inverse=True)
    counts = np.bincount(group).astype(float)
    sums = np.stack([np.bincount(group, column) for column in np.asarray(values, float).T], axis=1)
    rng = np.random.default_rng(seed)
    means = np.empty((1 + resamples, sums.shape[1]))
    means[0] = sums.sum(axis=0) / counts.sum()
    for i in range(1, 1 + resamples):
        times = np.bincount(rng.integers(0, len(counts), len(counts)), minlength=len(counts)).astype(float)
        means[i] = (times @ sums) / (times @ counts)
    return means


def interval(
    values: np.ndarray, sku: np.ndarray, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return the mean over queries of ``values`` [Q] and its interval when SKUs ``sku`` [Q] are resampled.

    For a paired comparison pass the difference of two methods' values on the same queries.
    """
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    return Interval.of(resampled_means(np.asarray(values)[:, None], sku, resamples, seed)[:, 0], level)


def standard_error(values: np.ndarray, sku: np.ndarray) -> float:
    """Return the standard error of the mean of ``values`` [Q], clustered by ``sku`` [Q].

    The cluster-robust estimate: root of the sum over SKUs of squared summed residuals, over Q, times root G/(G-1) for G
    SKUs (Cameron and Miller 2015, A Practitioner's Guide to Cluster-Robust Inference, section II). Infinite for a
    single SKU.
    """
    _, group = np.unique(sku, return_inverse=True)
    residuals = np.bincount(group, np.asarray(values, float) - np.mean(values))
    skus = len(residuals)
    if skus < 2:
        return float("inf")
    return float(np.sqrt((residuals**2).sum() * skus / (skus - 1)) / len(values))
