"""Comparing methods on one gallery with one query set: per-query ranks, means, and intervals over SKUs."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skufp.retrieval.bootstrap import Interval, interval, resampled_means
from skufp.retrieval.metrics import per_query

BASELINE = "mean"
CEILING = "multi_vector"
OURS = "fingerprint"
WITH_INTERVAL = ("recall@1", "mrr")


@dataclass
class Method:
    """A representation of SKUs: every query's rank of its SKU, and the costs of storage and search.

    ``ranks`` are [Q], or [R, Q] of R runs with different seeds; figures are then means over runs. ``note`` is
    "semi-oracle" or "oracle" for a method that uses evaluation queries, else empty.
    """

    name: str
    ranks: np.ndarray
    vectors_per_sku: float
    bytes_per_sku: float
    search: dict[str, float]
    note: str = ""

    def values(self) -> dict[str, np.ndarray]:
        """Return every query's own value [Q] of each metric."""
        return {metric: np.atleast_2d(v).mean(axis=0) for metric, v in per_query(self.ranks).items()}


def compare(methods: list[Method], sku: np.ndarray, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return for each method its metrics with intervals, its paired difference to the mean of views, and gap_closed.

    ``sku`` [Q] is each query's SKU number: intervals resample SKUs, with the same resamples for all methods.
    gap_closed is the share of the gap between mean and multi-vector that the method closes, a ratio of resampled means;
    None where the gap's interval includes 0.
    """
    values = {m.name: m.values() for m in methods}
    result: dict[str, dict[str, Any]] = {}
    for m in methods:
        row: dict[str, Any] = {metric: float(v.mean()) for metric, v in values[m.name].items()}
        row |= {"vectors_per_sku": m.vectors_per_sku, "bytes_per_sku": m.bytes_per_sku, "search": m.search}
        result[m.name] = row | {"note": m.note, "interval": {}, "gap_closed": {}}
    for metric in WITH_INTERVAL:
        table = np.stack([values[m.name][metric] for m in methods], axis=1)
        columns = resampled_means(table, sku, resamples, seed).T
        means = {m.name: column for m, column in zip(methods, columns, strict=True)}
        for name, row in result.items():
            row["interval"][metric] = asdict(Interval.of(means[name]))
            if BASELINE in means and name != BASELINE:
                row.setdefault("minus_mean", {})[metric] = asdict(Interval.of(means[name] - means[BASELINE]))
            row["gap_closed"][metric] = _gap_closed(means, name)
    return result


def _gap_closed(means: dict[str, np.ndarray], name: str) -> dict[str, float] | None:
    """Return the share of the gap between mean and multi-vector that method ``name`` closes."""
    if BASELINE not in means or CEILING not in means:
        return None
    return share_of_gap(means[name], means[BASELINE], means[CEILING])


def share_of_gap(ours: np.ndarray, floor: np.ndarray, ceiling: np.ndarray) -> dict[str, float] | None:
    """Return (ours - floor) / (ceiling - floor) of resampled means [1 + R].

    None where the denominator's interval is not above 0. The few resamples with a denominator at or below 0 are left
    out.
    """
    gap = ceiling - floor
    if not Interval.of(gap).low > 0:
        return None
    return asdict(Interval.of((ours - floor) / np.where(gap > 0, gap, np.nan)))


def by_stratum(
    methods: list[Method], stratum: np.ndarray, sku: np.ndarray, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return every stratum's number of queries and each method's Recall@1 and MRR in it; ``stratum`` [Q] are names.

    The fingerprint's row also has its paired difference to the mean, ``minus_mean``, as in compare.
    """
    values = {m.name: m.values() for m in methods}
    result: dict[str, dict[str, Any]] = {}
    for name in sorted(set(stratum.tolist())):
        mask = stratum == name
        row: dict[str, Any] = {"queries": int(mask.sum())}
        row |= {method: {k: float(v[k][mask].mean()) for k in WITH_INTERVAL} for method, v in values.items()}
        if OURS in values and BASELINE in values:
            gain = {k: (values[OURS][k] - values[BASELINE][k])[mask] for k in WITH_INTERVAL}
            row[OURS]["minus_mean"] = {k: asdict(interval(g, sku[mask], resamples, seed)) for k, g in gain.items()}
        result[name] = row
    return result


def view_count_stratum(views: np.ndarray) -> np.ndarray:
    """Name each number of views' stratum: 1, 2-3, 4-5, 6+."""
    names = np.array(["1", "2-3", "4-5", "6+"])
    return names[np.digitize(views, [2, 4, 6])]
