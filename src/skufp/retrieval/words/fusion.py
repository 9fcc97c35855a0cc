"""Fusing what vectors and what words say of every SKU, and choosing how much words count.

Legend: Q queries, S SKUs.
"""

from collections.abc import Sequence

import numpy as np

from skufp.retrieval.words.index import WordIndex, WordScores

VECTOR, WORDS, HYBRID = "vector", "words", "hybrid"
MODES = (HYBRID, VECTOR, WORDS)  # query.mode
DEPTH = 500  # SKUs that vectors speak for: those nearest to the query
DEFAULT_WEIGHT = 0.7  # of words, where there are too few dev queries to choose with
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def fuse(cosines: np.ndarray, words: np.ndarray, weight: float) -> np.ndarray:
    """Return [S]: ``weight`` x words + (1 - weight) x cosines, from 0 to 1.

    ``cosines`` [S] are -inf but for the nearest SKUs, and are stretched so that the best is 1 and the least of these
    0. ``words`` [S] are a query's WordScores. A convex combination of normalised scores (Bruch, Gai and Ingber 2023,
    An Analysis of Fusion Functions for Hybrid Retrieval).
    """
    return np.asarray(weight * words + (1 - weight) * stretched(cosines))


def stretched(cosines: np.ndarray) -> np.ndarray:
    """Return ``cosines`` [S] with their finite values stretched to 0 … 1; all else is 0. Equal values are all 1."""
    there = np.isfinite(cosines)
    if not there.any():
        return np.zeros(len(cosines))
    low, high = float(cosines[there].min()), float(cosines[there].max())
    share = (cosines - low) / (high - low) if high > low else np.ones(len(cosines))
    return np.where(there, share, 0.0)


def nearest_only(cosines: np.ndarray, depth: int = DEPTH) -> np.ndarray:
    """Return ``cosines`` [S] with -inf for all but the ``depth`` highest."""
    if len(cosines) <= depth:
        return cosines
    left = np.full(len(cosines), -np.inf)
    best = np.argpartition(-cosines, depth - 1)[:depth]
    left[best] = cosines[best]
    return left


def scores_of(mode: str, cosines: np.ndarray, words: WordScores | None, weight: float) -> np.ndarray:
    """Return the scores [S] of one query in a ``mode``; hybrid is the cosines alone where words find nothing."""
    if mode == VECTOR or (mode == HYBRID and words is None):
        return cosines
    if words is None:
        return np.zeros(len(cosines))
    return words.scores if mode == WORDS else fuse(nearest_only(cosines), words.scores, weight)


def choose_weight(index: WordIndex, cosines: np.ndarray, texts: Sequence[str], target: np.ndarray) -> float:
    """Return the weight of WEIGHTS with the highest mean reciprocal rank of the ``target`` SKUs [Q] of ``texts``.

    ``cosines`` is [Q, S]. Of equal weights the one nearest to DEFAULT_WEIGHT is taken; without texts, that one.
    """
    from skufp.retrieval.metrics import ranks_of_target

    if not len(texts):
        return DEFAULT_WEIGHT
    found = [index.search(text) for text in texts]

    def quality(weight: float) -> float:
        rows = zip(found, cosines, target, strict=True)
        ranks = [
            ranks_of_target(scores_of(HYBRID, own, words, weight)[None], np.array([sku])) for words, own, sku in rows
        ]
        return round(float((1 / np.concatenate(ranks)).mean()), 9)

    return max(WEIGHTS, key=lambda weight: (quality(weight), -abs(weight - DEFAULT_WEIGHT)))
