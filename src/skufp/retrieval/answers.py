"""Ranks of queries in different galleries, and the adapter fitted across them.

Legend: N rows of queries, n of one gallery's, S SKUs, D dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skufp.models.adapter import Adapter
from skufp.retrieval.metrics import BLOCK, ranks_of_target


@dataclass(frozen=True)
class QueriedGallery:
    """A gallery, ``vectors`` [S, D], and its queries: ``rows`` [n] of queries, ``own`` [n] their SKUs' gallery rows."""

    vectors: np.ndarray
    rows: np.ndarray
    own: np.ndarray


@dataclass(frozen=True)
class RankedQueries:
    """``rank`` of the own SKU, with ties counted against it; its ``score``; its ``margin`` over the best other: [N]."""

    rank: np.ndarray
    score: np.ndarray
    margin: np.ndarray


def answer(galleries: Sequence[QueriedGallery], vectors: np.ndarray, block: int = BLOCK) -> RankedQueries:
    """Rank the queries ``vectors`` [N, D], each in its gallery, in blocks; every row is in one gallery.

    A margin in a gallery of one SKU is infinite.
    """
    count = len(vectors)
    rank, score, margin = np.zeros(count, np.int64), np.zeros(count), np.zeros(count)
    for gallery in galleries:
        for start in range(0, len(gallery.rows), block):
            rows, own = gallery.rows[start : start + block], gallery.own[start : start + block]
            scores = np.asarray(vectors[rows]) @ gallery.vectors.T
            rank[rows] = ranks_of_target(scores, own)
            score[rows] = np.take_along_axis(scores, own[:, None], axis=1)[:, 0]
            np.put_along_axis(scores, own[:, None], -np.inf, axis=1)
            margin[rows] = score[rows] - scores.max(axis=1)
    return RankedQueries(rank, score, margin)


def adapt(galleries: Sequence[QueriedGallery], adapters: Sequence[Adapter], vectors: np.ndarray) -> np.ndarray:
    """Return ``vectors`` [N, D], those of each gallery moved by its own adapter."""
    moved = np.array(vectors, np.float32)
    for gallery, adapter in zip(galleries, adapters, strict=True):
        moved[gallery.rows] = adapter(moved[gallery.rows])
    return moved


def fit_across(folds: Sequence[QueriedGallery], vectors: np.ndarray, ridge: float | None) -> list[Adapter]:
    """Return an adapter for every fold, fitted to the queries of the other folds and to this fold's gallery.

    The galleries hold the same SKUs in the same order. A fold's gallery was made without the fold's queries, so the
    adapter that scores a query does not depend on it.
    """
    return [fit_all([other for other in folds if other is not fold], fold, vectors, ridge) for fold in folds]


def fit_all(
    folds: Sequence[QueriedGallery], gallery: QueriedGallery, vectors: np.ndarray, ridge: float | None
) -> Adapter:
    """Return the adapter fitted to the queries of all folds and to a ``gallery`` of the same SKUs."""
    rows, own = (np.concatenate([getattr(fold, name) for fold in folds]) for name in ("rows", "own"))
    return Adapter.fit(vectors[rows], gallery.vectors[own], ridge)


def choose_ridge(
    folds: Sequence[QueriedGallery], vectors: np.ndarray, ridges: Sequence[float]
) -> tuple[float | None, dict[float | None, float]]:
    """Return the ridge with the best cross-fitted mean reciprocal rank, and every ridge with its own.

    None, which gives the identity, is one of them; of ties the strongest ridge is chosen.
    """
    rows = np.concatenate([fold.rows for fold in folds])
    found: dict[float | None, float] = {}
    for ridge in (None, *sorted(ridges, reverse=True)):
        moved = adapt(folds, fit_across(folds, vectors, ridge), vectors)
        found[ridge] = float(np.mean(1 / answer(folds, moved).rank[rows]))
    return max(found, key=lambda ridge: found[ridge]), found
