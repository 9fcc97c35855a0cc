"""Relevance of similar items: the share of a SKU's nearest SKUs with its category, its colour or its design.

Precision at k with the SKUs themselves as queries (Manning et al., 2008, Introduction to Information Retrieval, 8.4).
Legend: S SKUs, D dimensions, G groups.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from skufp.retrieval.bootstrap import interval

CUTOFF = 5
BLOCK = 1024  # SKUs scored against all others at a time


def similar_items(vectors: np.ndarray, k: int = CUTOFF) -> np.ndarray:
    """Return [S, min(k, S - 1)]: the nearest other SKUs of each by inner product of ``vectors`` [S, D], best first.

    Ties at the last place are broken arbitrarily.
    """
    vectors = np.asarray(vectors)
    found = np.zeros((len(vectors), max(0, min(k, len(vectors) - 1))), np.int64)
    for start in range(0, len(vectors) if found.size else 0, BLOCK):
        distance = -(vectors[start : start + BLOCK] @ vectors.T)
        rows = np.arange(len(distance))
        distance[rows, start + rows] = np.inf
        best = np.sort(np.argpartition(distance, found.shape[1] - 1, axis=1)[:, : found.shape[1]], axis=1)
        order = np.argsort(np.take_along_axis(distance, best, axis=1), axis=1, kind="stable")
        found[start : start + BLOCK] = np.take_along_axis(best, order, axis=1)
    return found


def relevance(
    methods: Mapping[str, np.ndarray], label: Sequence[Hashable], resamples: int, seed: int
) -> dict[str, Any]:
    """Return the relevance of the similar items by each method's ``vectors`` [S, D]; empty without relevant SKUs.

    Another SKU of equal ``label`` is relevant; SKUs whose label is None are removed, as queries and as results (a
    condensed list: Sakai, 2007). The ``skus`` queries are the SKUs with a relevant SKU. Each method has the share of
    relevant SKUs among the nearest CUTOFF, with its interval over SKUs. ``chance`` is the share for random SKUs,
    ``possible`` the largest possible share (a design in two colours has one relevant item among five). ``minus_mean``
    are paired differences to the method "mean".
    """
    known = np.array([i for i, own in enumerate(label) if own is not None], np.int64)
    number: dict[Hashable, int] = {}
    group = np.array([number.setdefault(label[i], len(number)) for i in known], np.int64)
    others = np.bincount(group, minlength=1)[group] - 1  # numbers of relevant SKUs
    queried = np.flatnonzero(others > 0)
    if not len(queried):
        return {}
    k = min(CUTOFF, len(known) - 1)
    values = {}
    for name, vectors in methods.items():
        own = np.asarray(vectors)[known]
        nearest, numbers = similar_items(own, k)[queried], ~np.isnan(own).any(axis=1)
        found = (
            (group[nearest] == group[queried, None]) & numbers[nearest] & numbers[queried, None]
        )  # NaN is near nothing
        values[name] = found.mean(axis=1)
    result: dict[str, Any] = {
        "skus": len(queried), "of": len(known), "chance": float((others[queried] / (len(known) - 1)).mean()),
        "possible": float((np.minimum(others[queried], k) / k).mean()),
    }  # fmt: skip
    for name, value in values.items():
        result[name] = asdict(interval(value, queried, resamples, seed))
    if "mean" in values:
        gains = {name: value - values["mean"] for name, value in values.items() if name != "mean"}
        result["minus_mean"] = {name: asdict(interval(gain, queried, resamples, seed)) for name, gain in gains.items()}
    return result
