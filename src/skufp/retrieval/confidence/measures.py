"""How good a confidence is: does it tell present from absent, and are its probabilities true?"""

from dataclasses import asdict
from typing import Any

import numpy as np

from skufp.retrieval.bootstrap import Interval

BINS = 10


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the probability that a ``positive`` [P] scores above a ``negative`` [N]; ties count one half.

    The Mann-Whitney statistic. NaN where one side is empty.
    """
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below, through = (np.searchsorted(ordered, positive, side) for side in ("left", "right"))
    return float((below + through).sum() / (2 * len(positive) * len(negative)))


def accept_threshold(positive: np.ndarray, accepted: float) -> float:
    """Return the highest threshold at which at least the share ``accepted`` of ``positive`` [P] is at or above it."""
    needed = int(np.ceil(accepted * len(positive) - 1e-9))
    return float(np.sort(positive)[len(positive) - needed]) if needed else float("inf")


def false_accepts(positive: np.ndarray, negative: np.ndarray, accepted: float = 0.95) -> float:
    """Return the share of ``negative`` [N] at or above the threshold that accepts ``accepted`` of ``positive`` [P]."""
    if not len(positive) or not len(negative):
        return float("nan")
    return float((negative >= accept_threshold(positive, accepted)).mean())


def reliability(probability: np.ndarray, outcome: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """Return the rows of a calibration plot: mean probability, share of outcomes and size of bins of equal width."""
    number = np.minimum((probability * bins).astype(int), bins - 1)
    return [
        {"probability": float(probability[own].mean()), "share": float(outcome[own].mean()), "examples": int(own.sum())}
        for own in (number == k for k in range(bins))
        if own.any()
    ]


def calibration_error(probability: np.ndarray, outcome: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error (Naeini et al. 2015, AAAI): the mean gap of reliability, by examples."""
    rows = reliability(probability, outcome, bins)
    gaps = sum(row["examples"] * abs(row["probability"] - row["share"]) for row in rows)
    return gaps / len(probability) if len(probability) else float("nan")


def separation(
    present: np.ndarray, absent: np.ndarray, sku: np.ndarray, accepted: float = 0.95, resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Return AUROC and false accepts with 95 % intervals when SKUs ``sku`` [Q] are resampled.

    ``present`` and ``absent`` [Q] are the confidences of the same queries, asked with and without their product.
    """
    _, number = np.unique(sku, return_inverse=True)
    rows = [np.flatnonzero(number == k) for k in range(int(number.max(initial=-1)) + 1)]
    rng = np.random.default_rng(seed)
    picked = [np.arange(len(sku))]
    picked += [np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))]) for _ in range(resamples)]
    area = np.array([auroc(present[own], absent[own]) for own in picked])
    wrong = np.array([false_accepts(present[own], absent[own], accepted) for own in picked])
    return {
        "queries": len(sku),
        "skus": len(rows),
        "auroc": asdict(Interval.of(area)),
        "false_accepts": asdict(Interval.of(wrong)),
        "true_accepts": accepted,
    }
