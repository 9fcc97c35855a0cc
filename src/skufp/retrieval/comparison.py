"""Comparing methods on one gallery with one query set: per-query ranks, means, and intervals over SKUs."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skufp.retrieval.bootstrap import interval
from skufp.retrieval.metrics import per_query

BASELINE = "mean"
WITH_INTERVAL = ("recall@1", "mrr")


@dataclass
class Method:
    """One way to represent SKUs: every query's rank of its SKU, and what it costs to keep and to search."""

    name: str
    ranks: np.ndarray
    vectors_per_sku: float
    bytes_per_sku: float
    search: dict[str, float]


def compare(methods: list[Method], sku: np.ndarray, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return for each method its metrics, their intervals, and its paired difference to the mean of views.

    ``sku`` [Q] is each query's SKU number: intervals resample SKUs.
    """
    values = {m.name: per_query(m.ranks) for m in methods}
    result: dict[str, dict[str, Any]] = {}
    for m in methods:
        row: dict[str, Any] = {metric: float(v.mean()) for metric, v in values[m.name].items()}
        row |= {"vectors_per_sku": m.vectors_per_sku, "bytes_per_sku": m.bytes_per_sku, "search": m.search}
        row["interval"] = {k: asdict(interval(values[m.name][k], sku, resamples, seed)) for k in WITH_INTERVAL}
        if m.name != BASELINE and BASELINE in values:
            row["minus_mean"] = {
                k: asdict(interval(values[m.name][k] - values[BASELINE][k], sku, resamples, seed))
                for k in WITH_INTERVAL
            }
        result[m.name] = row
    return result


def by_stratum(methods: list[Method], stratum: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return every stratum's number of queries and each method's Recall@1 and MRR in it; ``stratum`` [Q] names."""
    result: dict[str, dict[str, Any]] = {}
    for name in sorted(set(stratum.tolist())):
        mask = stratum == name
        row: dict[str, Any] = {"queries": int(mask.sum())}
        for m in methods:
            values = per_query(m.ranks[mask])
            row[m.name] = {k: float(values[k].mean()) for k in WITH_INTERVAL}
        result[name] = row
    return result


def view_count_stratum(views: np.ndarray) -> np.ndarray:
    """Name each number of views' stratum: 1, 2-3, 4-5, 6+."""
    names = np.array(["1", "2-3", "4-5", "6+"])
    return names[np.digitize(views, [2, 4, 6])]
