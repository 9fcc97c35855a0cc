"""Probabilities from evidence: logistic regression, cross-fitted over designs.

Legend: N examples, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

RIDGE = 1.0  # on standardised weights, as one example would weigh
STEPS = 50


def with_prior(probability: np.ndarray, prior: float) -> np.ndarray:
    """Return probabilities that were fitted at a share of one half, at the share ``prior``, by Bayes' rule."""
    inside = probability * prior
    return np.asarray(inside / (inside + (1 - probability) * (1 - prior)))


@dataclass(frozen=True)
class Calibration:
    """A logistic model of standardised features: ``mean``, ``scale`` and ``weights`` [F], and a ``bias``."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def probability(self, features: np.ndarray, prior: float = 0.5) -> np.ndarray:
        """Return [N] of ``features`` [N, F]; NaN features give 0.

        Half of the examples that it was fitted to are in the catalogue. ``prior`` is the share expected in use.
        """
        standardised = (np.asarray(features, float) - np.array(self.mean)) / np.array(self.scale)
        odds = standardised @ np.array(self.weights) + self.bias
        return with_prior(np.nan_to_num(1 / (1 + np.exp(-np.clip(odds, -500, 500))), nan=0.0), prior)

    def to_dict(self) -> dict[str, Any]:
        """Return what from_dict reads."""
        return {"mean": list(self.mean), "scale": list(self.scale), "weights": list(self.weights), "bias": self.bias}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """Return what to_dict wrote."""
        mean, scale, weights = (tuple(map(float, values[name])) for name in ("mean", "scale", "weights"))
        return cls(mean, scale, weights, float(values["bias"]))


def fit(features: np.ndarray, positive: np.ndarray, weight: np.ndarray | None = None) -> Calibration:
    """Fit by Newton's method to ``features`` [N, F] and ``positive`` [N] bool; ``weight`` [N] is 1 by default.

    The weights, not the bias, carry a ridge penalty of RIDGE, so that separable examples have a solution. No weight is
    negative, since more evidence never makes an answer less likely: with few examples noise would. Source: Hastie,
    Tibshirani and Friedman, The Elements of Statistical Learning, 2nd edition, section 4.4.1.
    """
    weight = np.ones(len(features)) if weight is None else np.asarray(weight, float)
    mean = np.average(features, axis=0, weights=weight)
    scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weight))
    scale = np.where(scale > 1e-9, scale, 1.0)
    x = np.concatenate([(features - mean) / scale, np.ones((len(features), 1))], axis=1)
    used = np.ones(x.shape[1], bool)
    while True:
        theta = np.zeros(x.shape[1])
        theta[used] = _newton(x[:, used], positive.astype(float), weight)
        if (theta[:-1] >= 0).all():
            return Calibration(
                tuple(mean.tolist()), tuple(scale.tolist()), tuple(theta[:-1].tolist()), float(theta[-1])
            )
        used[:-1] &= theta[:-1] > theta[:-1].min()  # the most negative one goes, and the rest is fitted again


def _newton(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the coefficients of ``x`` [N, F], whose last column is constant and carries no penalty."""
    theta = np.zeros(x.shape[1])
    penalty = np.diag([*([RIDGE] * (x.shape[1] - 1)), 1e-6])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        gradient = x.T @ (weight * (p - y)) + penalty @ theta
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + penalty
        step = np.linalg.solve(hessian, gradient)
        theta = theta - step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    return theta


def cross_fitted(
    features: np.ndarray, positive: np.ndarray, group: np.ndarray, folds: int = 5, seed: int = 0,
    weight: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Return [N] probabilities, each by a model that saw no example of its ``group`` [N]: groups are drawn into folds.

    Where a fold's own examples leave only one class to learn from, the model is that class's share.
    """
    names, number = np.unique(group, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(names)) % min(folds, max(len(names), 1))
    of_example = fold[number]
    found = np.full(len(features), float(positive.mean()) if len(positive) else np.nan)
    for k in range(int(of_example.max(initial=-1)) + 1):
        inside, rest = of_example == k, of_example != k
        if rest.any() and 0 < positive[rest].sum() < rest.sum():
            model = fit(features[rest], positive[rest], None if weight is None else weight[rest])
            found[inside] = model.probability(features[inside])
    return found
